"""Splits: part a subset into train, val and whatever it asks for, so that nothing leaks from one to another.

reads   results/{subset}/ (subset.json and the other tasks' files) and images.parquet
writes  results/{subset}/split.tsv, splits/ (a COCO file for each task and split), split_audit.json
"""


rule split_dataset:
    input:
        subset="results/{subset}/subset.json",
        images="results/{subset}/images.tsv",
        tasks=made("results/{subset}/tasks"),
        labels="results/{subset}/labels.json",
        measures="results/{subset}/images.parquet",
        parent=lambda wildcards: plan.subsets[wildcards.subset].parent("split.tsv"),
        lists=lambda wildcards: plan.subsets[wildcards.subset].split_lists,
    output:
        split="results/{subset}/split.tsv",
        documents=folder("results/{subset}/splits"),
        audit="results/{subset}/split_audit.json",
    log:
        "logs/split_dataset/{subset}.log",
    benchmark:
        "benchmarks/split_dataset/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("split_dataset"),
        runtime=time_for("split_dataset"),
    params:
        script=script("split_dataset"),
        code=code("split_dataset"),
        settings=settings("split", "subset"),
        folder=lambda wildcards, output: str(Path(output.split).parent),
        parent=lambda wildcards, input: (
            ["--like", input.parent] if input.parent else []
        ),
    message:
        "Split {wildcards.subset}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --subset-dir {params.folder:q} "
        "--measures {input.measures:q} {params.parent:q} --out-dir {params.folder:q} --log {log:q}"
