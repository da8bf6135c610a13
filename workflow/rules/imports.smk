"""Imports: labels of one's own that are not COCO's, made COCO documents once.

reads   the folder of a source with a `format`: its label files, and of its images the headers
writes  data/imports/{source}/: annotations/{task}_{split}.json, quarantine.tsv, repairs.tsv, import.json

Labels are worked on, so they are not pinned on first use: an import runs again when a file of the folder is added,
changed or removed (`changed`), and the lock of the build holds what came of it.
"""

from cocomine.imports.folder import state_of


rule import_labels:
    output:
        manifest="data/imports/{source}/import.json",
        documents=folder("data/imports/{source}/annotations"),
        quarantine="data/imports/{source}/quarantine.tsv",
        repairs="data/imports/{source}/repairs.tsv",
    log:
        "logs/import_labels/{source}.log",
    benchmark:
        "benchmarks/import_labels/{source}.tsv"
    localrule: BUCKET
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=need(2000, 0),
        runtime=minutes(60),
    params:
        script=script("import_labels"),
        code=code("import_labels"),
        settings=settings("import", "source"),
        folder=lambda wildcards, output: str(Path(output.manifest).parent),
        changed=lambda wildcards: state_of(plan.sources[wildcards.source].labels),
    message:
        "Import the labels of {wildcards.source}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --out-dir {params.folder:q} --log {log:q}"
