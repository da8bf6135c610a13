"""Images: decode each selected image once and write down what it is.

reads   results/{subset}/selection.tsv and the image store
writes  results/{subset}/images.parquet: decoded size, mode, EXIF, hashes, brightness, contrast, blur, status
        results/{subset}/thumbnails/: sheets of them, for the explorer
"""


rule measure_images:
    input:
        selection="results/{subset}/selection.tsv",
        lock="results/{subset}/images.lock.tsv",
        photographs=photographs("{subset}"),
    output:
        measures="results/{subset}/images.parquet",
        thumbnails=folder("results/{subset}/thumbnails"),
    log:
        "logs/measure_images/{subset}.log",
    benchmark:
        "benchmarks/measure_images/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=memory_for("measure_images"),
        runtime=time_for("measure_images"),
    params:
        script=script("measure_images"),
        code=code("measure_images"),
        settings=settings("images", "subset"),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
    message:
        "Measure the images of {wildcards.subset}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --selection {input.selection:q} "
        "--images-lock {input.lock:q} --store-dir {params.store:q} --out {output.measures:q} "
        "--thumbnails {output.thumbnails:q} --threads {threads} --log {log:q}"
