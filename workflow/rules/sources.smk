"""Sources: bring annotation files, and later only the images that a subset needs, from where they lie.

reads   the config: stores and sources with their origins
writes  data/annotations/{source}/*.json, data/images/{store}/{split}/*.jpg, and small locks that say what came from where

The downloads themselves are no outputs: Snakemake would wipe a store of 118,000 images before a re-run. A rule
declares its lock, and a file that has gone missing is an error that names it and says how to sync again. Both syncs
run where snakemake was started, since a cluster's compute nodes often have no way out.

Snakemake removes a lock before its rule runs again, so what a lock pins would pin nothing. The checksums of the first
use are therefore kept in data/locks, beside the locks of earlier builds; nothing removes them but a user who accepts
new bytes. A synthetic bucket is drawn anew whenever its settings or its code change, so it is not pinned.

A sync runs again when a file that it brought is gone or has another size or time (`changed`): it then fetches the file
anew, or stops at a file that was changed in a folder used in place. Snakemake compares a parameter with the last run's
only where its function asks for neither input nor output.
"""

from cocomine.sources.proof import annotations_unlike, images_unlike


rule sync_annotations:
    input:
        bucket=lambda wildcards: made(plan.sources[wildcards.source].bucket),
    output:
        lock="data/annotations/{source}/sync.lock.json",
        copies=annotation_files("{source}"),
    log:
        "logs/sync_annotations/{source}.log",
    benchmark:
        "benchmarks/sync_annotations/{source}.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        script=script("sync_annotations"),
        code=code("sync_annotations"),
        settings=settings("source", "source"),
        folder=lambda wildcards, output: str(Path(output.lock).parent),
        pins=lambda wildcards: pins("annotations", plan.sources[wildcards.source]),
        copies=lambda wildcards, output: (
            ["--copy", *output.copies] if output.copies else []
        ),
        changed=lambda wildcards: annotations_unlike(
            Path(WORK_DIR, plan.sources[wildcards.source].lock)
        ),
    message:
        "Sync the annotation files of {wildcards.source}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --out-dir {params.folder:q} "
        "--lock {output.lock:q} {params.pins:q} {params.copies:q} --log {log:q}"


rule sync_images:
    input:
        selection="results/{subset}/selection.tsv",
        annotations=lambda wildcards: plan.subsets[wildcards.subset].source.lock,
    output:
        lock="results/{subset}/images.lock.tsv",
        copies=photographs("{subset}"),
    log:
        "logs/sync_images/{subset}.log",
    benchmark:
        "benchmarks/sync_images/{subset}.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=1440,
    params:
        script=script("sync_images"),
        code=code("sync_images"),
        settings=lambda wildcards: plan.settings(
            "store", plan.subsets[wildcards.subset].source.store.name
        ),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
        parts=lambda wildcards: parts(plan.subsets[wildcards.subset].source),
        pins=lambda wildcards: pins("images", plan.subsets[wildcards.subset].source),
        copies=lambda wildcards, output: (
            ["--copy", *output.copies] if output.copies else []
        ),
        missing=lambda wildcards: plan.subsets[wildcards.subset].missing,
        splits=lambda wildcards: plan.subsets[wildcards.subset].source.splits,
        changed=lambda wildcards: images_unlike(
            Path(WORK_DIR, f"results/{wildcards.subset}/images.lock.tsv"),
            Path(WORK_DIR, plan.subsets[wildcards.subset].source.store.folder),
        ),
    message:
        "Sync the images that {wildcards.subset} needs"
    shell:
        "python {params.script:q} --settings {params.settings:q} --selection {input.selection:q} "
        "--store-dir {params.store:q} --lock {output.lock:q} {params.pins:q} --missing {params.missing:q} "
        "{params.parts:q} --splits {params.splits:q} {params.copies:q} --log {log:q}"
