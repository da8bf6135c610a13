"""Annotations: state the facts of every record once, for every subset to use; set two sources side by side.

reads   data/annotations/{source}/{task}_{split}.json
writes  data/annotations/{source}/index/{task}_{split}/: every record's facts, reason codes, byte offset and length
        results/comparisons/{comparison}/: the counts of two sources, in all and by class
"""


rule index_annotations:
    input:
        lock="data/annotations/{source}/sync.lock.json",
        files=annotation_files("{source}"),
    output:
        index_files(["data/annotations/{source}/index/{task}_{split}/index.json"]),
    log:
        "logs/index_annotations/{source}/{task}_{split}.log",
    benchmark:
        "benchmarks/index_annotations/{source}/{task}_{split}.tsv"
    wildcard_constraints:
        task=plan.pattern(plan.tasks),
    conda:
        "../../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=memory_for("index_annotations"),
        runtime=time_for("index_annotations"),
    params:
        script=script("index_annotations"),
        code=code("index_annotations"),
        file="data/annotations/{source}/{task}_{split}.json",
        folder="data/annotations/{source}/index/{task}_{split}",
        names=lambda wildcards: plan.sources[wildcards.source].name_options(
            wildcards.split
        ),
    message:
        "Index {wildcards.task} of {wildcards.source}'s {wildcards.split}"
    shell:
        "python {params.script:q} --task {wildcards.task:q} --split {wildcards.split:q} --annotations {params.file:q} "
        "--lock {input.lock:q} --out-dir {params.folder:q} {params.names:q} --threads {threads} --log {log:q}"


rule compare_sources:
    input:
        indexes=lambda wildcards: index_files(
            plan.comparisons[wildcards.comparison].indexes
        ),
    output:
        page="results/comparisons/{comparison}/comparison.md",
        json="results/comparisons/{comparison}/comparison.json",
        table="results/comparisons/{comparison}/comparison.tsv",
        classes="results/comparisons/{comparison}/classes.tsv",
        picture=report(
            "results/comparisons/{comparison}/comparison.png",
            category="sources",
            labels={"what": "{comparison}"},
            caption="../report/comparison.rst",
        ),
    log:
        "logs/compare_sources/{comparison}.log",
    benchmark:
        "benchmarks/compare_sources/{comparison}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=need(1000, 1.5),
        runtime=minutes(30),
    params:
        script=script("compare_sources"),
        code=code("compare_sources"),
        first=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].first.index_folder,
        first_name=lambda wildcards: plan.comparisons[wildcards.comparison].first.name,
        second=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].second.index_folder,
        second_name=lambda wildcards: plan.comparisons[wildcards.comparison].second.name,
        first_splits=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].first_splits,
        second_splits=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].second_splits,
        task=lambda wildcards: plan.comparisons[wildcards.comparison].settings.task,
        folder=lambda wildcards, output: str(Path(output.page).parent),
    message:
        "Set {params.first_name} and {params.second_name} side by side"
    shell:
        "python {params.script:q} --first {params.first:q} --first-name {params.first_name:q} "
        "--second {params.second:q} --second-name {params.second_name:q} "
        "--first-splits {params.first_splits:q} --second-splits {params.second_splits:q} "
        "--task {params.task:q} --out-dir {params.folder:q} --log {log:q}"
