"""Matching: every object of two sources held against the other source's, and labels against predicted masks.

reads   data/annotations/{source}/*.json and the indexes of two sources; predicted masks, results/{subset}/
writes  results/comparisons/{comparison}/: matches.parquet, images.tsv, crosswalk.tsv, matching.json, matching.md
        results/label_errors/{review}/: label_errors.tsv and .json
"""


rule match_sources:
    input:
        indexes=lambda wildcards: index_files(
            plan.comparisons[wildcards.comparison].indexes
        ),
        files=lambda wildcards: annotation_files(
            *(side.name for side in plan.comparisons[wildcards.comparison].sides)
        ),
        crosswalk=lambda wildcards: plan.comparisons[wildcards.comparison].crosswalk,
    output:
        matches="results/comparisons/{comparison}/matches.parquet",
        images="results/comparisons/{comparison}/images.tsv",
        crosswalk="results/comparisons/{comparison}/crosswalk.tsv",
        json="results/comparisons/{comparison}/matching.json",
        page="results/comparisons/{comparison}/matching.md",
    log:
        "logs/match_sources/{comparison}.log",
    benchmark:
        "benchmarks/match_sources/{comparison}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 8
    resources:
        mem_mb=need(2000, 2),
        runtime=minutes(60),
    params:
        script=script("match_sources"),
        code=code("match_sources"),
        settings=settings("comparison", "comparison"),
        first=lambda wildcards: plan.comparisons[wildcards.comparison].first.folder,
        first_splits=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].first_splits,
        second=lambda wildcards: plan.comparisons[wildcards.comparison].second.folder,
        second_splits=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].second_splits,
        folder=lambda wildcards, output: str(Path(output.json).parent),
    message:
        "Match the objects of {wildcards.comparison}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --first {params.first:q} "
        "--first-splits {params.first_splits:q} --second {params.second:q} "
        "--second-splits {params.second_splits:q} --out-dir {params.folder:q} --threads {threads} --log {log:q}"


if plan.reviews:

    rule find_label_errors:
        input:
            given=lambda wildcards: made(plan.reviews[wildcards.review].given),
            truth=lambda wildcards: made(plan.reviews[wildcards.review].truth),
            files=lambda wildcards: annotation_files(
                *plan.reviews[wildcards.review].sources
            ),
        output:
            table=report(
                "results/label_errors/{review}/label_errors.tsv",
                category="label errors",
                labels={"what": "labels that {review} contradicts"},
            ),
            facts="results/label_errors/{review}/label_errors.json",
        log:
            "logs/find_label_errors/{review}.log",
        benchmark:
            "benchmarks/find_label_errors/{review}.tsv"
        conda:
            "../../envs/learning.yaml"
        threads: 1
        resources:
            mem_mb=need(1500, 8),
            runtime=minutes(60),
        params:
            script=script("find_label_errors"),
            code=code("find_label_errors"),
            settings=settings("predictions", "review"),
            options=lambda wildcards: plan.reviews[wildcards.review].review_options,
            folder=lambda wildcards, output: str(Path(output.table).parent),
        message:
            "List the labels that {wildcards.review} contradicts"
        shell:
            "python {params.script:q} --settings {params.settings:q} {params.options:q} --out-dir {params.folder:q} "
            "--log {log:q}"
