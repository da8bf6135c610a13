"""Masks: draw the ground truth of every image, exactly.

reads   results/{subset}/subset.json, images.tsv, labels.json, void.json; for panoptic sources the source's PNGs
writes  results/{subset}/masks/{semantic,instance,panoptic}/*.png, masks.tsv, masks.json, contact_sheet.png
"""


rule rasterize_masks:
    input:
        subset="results/{subset}/subset.json",
        images="results/{subset}/images.tsv",
        labels="results/{subset}/labels.json",
        void="results/{subset}/void.json",
        tasks=made("results/{subset}/tasks"),
        measures="results/{subset}/images.parquet",
        lock="results/{subset}/images.lock.tsv",
        photographs=photographs("{subset}"),
        files=lambda wildcards: annotation_files(
            plan.subsets[wildcards.subset].source.name
        ),
    output:
        masks=folder("results/{subset}/masks"),
        table="results/{subset}/masks.tsv",
        manifest="results/{subset}/masks.json",
        sheet=report(
            "results/{subset}/contact_sheet.png",
            category="{subset}",
            labels={"what": "images with their masks"},
            caption="../report/contact_sheet.rst",
        ),
    log:
        "logs/rasterize_masks/{subset}.log",
    benchmark:
        "benchmarks/rasterize_masks/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=memory_for("rasterize_masks"),
        runtime=time_for("rasterize_masks"),
    params:
        script=script("rasterize_masks"),
        code=code("rasterize_masks"),
        settings=settings("masks", "subset"),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
        drawn=lambda wildcards: plan.subsets[wildcards.subset].drawn,
        size=lambda wildcards: plan.subsets[wildcards.subset].tensor_size,
        folder=lambda wildcards, output: str(Path(output.table).parent),
    message:
        "Draw the masks of {wildcards.subset}"
    shell:
        "python {params.script:q} --settings {params.settings:q} {params.drawn:q} --images {input.images:q} "
        "--labels {input.labels:q} --void {input.void:q} --store-dir {params.store:q} --images-lock {input.lock:q} --training-size {params.size} "
        "--out-dir {params.folder:q} --threads {threads} --log {log:q}"
