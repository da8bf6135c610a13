"""Tensors: resize images and masks once, into arrays that training maps into memory.

reads   results/{subset}/images.tsv, masks/, split.tsv and the image store
writes  results/{subset}/tensors/{size}/images.npy, masks.npy, index.tsv, manifest.json
"""


rule pack_tensors:
    input:
        images="results/{subset}/images.tsv",
        labels="results/{subset}/labels.json",
        masks=made("results/{subset}/masks"),
        split="results/{subset}/split.tsv",
        lock="results/{subset}/images.lock.tsv",
        photographs=photographs("{subset}"),
    output:
        folder=folder("results/{subset}/tensors/{size}"),
    log:
        "logs/pack_tensors/{subset}/{size}.log",
    benchmark:
        "benchmarks/pack_tensors/{subset}/{size}.tsv"
    wildcard_constraints:
        size=r"\d+",
    conda:
        "../../envs/data.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=memory_for("pack_tensors"),
        runtime=time_for("pack_tensors"),
    params:
        script=script("pack_tensors"),
        code=code("pack_tensors"),
        settings=settings("tensors", "subset"),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
    message:
        "Pack the tensors of {wildcards.subset} at {wildcards.size} pixels"
    shell:
        "python {params.script:q} --settings {params.settings:q} --images {input.images:q} "
        "--store-dir {params.store:q} --masks-dir {input.masks:q} --split {input.split:q} "
        "--labels {input.labels:q} --images-lock {input.lock:q} "
        "--out-dir {output.folder:q} --threads {threads} --log {log:q}"
