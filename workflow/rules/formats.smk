"""Exports: hand a subset on in the formats of the field, and count what each of them cannot carry.

reads   results/{subset}/ and the image store
writes  results/{subset}/exports/{format}/ with a manifest.json; data/copies/{store}/, which exports of a store that is
        used in place share
"""

from cocomine.formats.registry import FORMATS


rule export_dataset:
    input:
        unpack(
            lambda wildcards: {
                name: made(path)
                for name, path in plan.subsets[wildcards.subset]
                .export_inputs(wildcards.format)
                .items()
            }
        ),
        images="results/{subset}/images.tsv",
        labels="results/{subset}/labels.json",
        split="results/{subset}/split.tsv",
        lock="results/{subset}/images.lock.tsv",
        photographs=photographs("{subset}"),
        manifest="results/{subset}/masks.json",
        files=lambda wildcards: annotation_files(
            plan.subsets[wildcards.subset].source.name
        ),
        splits=made("results/{subset}/splits"),
    output:
        folder=folder("results/{subset}/exports/{format}"),
    log:
        "logs/export_dataset/{subset}/{format}.log",
    benchmark:
        "benchmarks/export_dataset/{subset}/{format}.tsv"
    wildcard_constraints:
        format=plan.pattern(plan.formats),
    priority: lambda wildcards: int(FORMATS[wildcards.format].long)
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("export_dataset"),
        runtime=time_for("export_dataset"),
    params:
        script=script("export_dataset"),
        code=code("export_dataset"),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
        folder=lambda wildcards, input: str(Path(input.split).parent),
        place=lambda wildcards: plan.subsets[wildcards.subset].export_options,
        panoptic=lambda wildcards: plan.subsets[
            wildcards.subset
        ].source.panoptic_options,
    message:
        "Export {wildcards.subset} as {wildcards.format}"
    shell:
        "python {params.script:q} --format {wildcards.format:q} --subset-dir {params.folder:q} "
        "--store-dir {params.store:q} --out-dir {output.folder:q} {params.panoptic:q} {params.place:q} "
        "--log {log:q}"
