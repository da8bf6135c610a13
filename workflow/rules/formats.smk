"""Exports: hand a subset on in the formats of the field, and count what each of them cannot carry.

reads   results/{subset}/ and the image store
writes  results/{subset}/exports/{format}/ with a manifest.json
"""


rule export_dataset:
    input:
        train="results/{subset}/train.json",
        val="results/{subset}/val.json",
        images="results/{subset}/images.tsv",
        labels="results/{subset}/labels.json",
        split="results/{subset}/split.tsv",
        masks="results/{subset}/masks",
        tasks="results/{subset}/split_tasks",
        lock="results/{subset}/images.lock.tsv",
        script=ancient(script("export_dataset")),
    output:
        folder=directory("results/{subset}/exports/{format}"),
    log:
        "logs/export_dataset/{subset}/{format}.log",
    benchmark:
        "benchmarks/export_dataset/{subset}/{format}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code("export_dataset"),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
        folder=lambda wildcards, input: str(Path(input.train).parent),
        place=lambda wildcards: (
            ["--copy"] if plan.subsets[wildcards.subset].source.store.in_place else []
        ),
        panoptic=lambda wildcards: plan.subsets[
            wildcards.subset
        ].source.panoptic_options,
    message:
        "Export {wildcards.subset} as {wildcards.format}"
    shell:
        "python {input.script:q} --format {wildcards.format:q} --subset-dir {params.folder:q} "
        "--store-dir {params.store:q} --out-dir {output.folder:q} {params.panoptic:q} {params.place:q} --log {log:q}"
