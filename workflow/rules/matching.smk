"""Matching: every object of two sources held against the other source's.

reads   data/annotations/{source}/*.json and the indexes of two sources
writes  results/comparisons/{comparison}/: matches.parquet, images.tsv, crosswalk.tsv, matching.json, matching.md
"""


rule match_sources:
    input:
        indexes=lambda wildcards: plan.comparisons[wildcards.comparison].indexes,
        crosswalk=lambda wildcards: plan.comparisons[wildcards.comparison].crosswalk,
        script=ancient(script("match_sources")),
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
        "python {input.script:q} --settings {params.settings:q} --first {params.first:q} "
        "--first-splits {params.first_splits:q} --second {params.second:q} "
        "--second-splits {params.second_splits:q} --out-dir {params.folder:q} --threads {threads} --log {log:q}"
