"""Annotations: state the facts of every record once, for every subset to use.

reads   data/annotations/{source}/{task}_{split}.json
writes  data/annotations/{source}/index/{task}_{split}/: every record's facts, reason codes, byte offset and length
"""


rule index_annotations:
    input:
        lock="data/annotations/{source}/sync.lock.json",
        script=ancient(script("index_annotations")),
    output:
        manifest="data/annotations/{source}/index/{task}_{split}/index.json",
        images="data/annotations/{source}/index/{task}_{split}/images.parquet",
        annotations="data/annotations/{source}/index/{task}_{split}/annotations.parquet",
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
        mem_mb=2000,
        runtime=30,
    params:
        code=code("index_annotations"),
        file="data/annotations/{source}/{task}_{split}.json",
        folder=lambda wildcards, output: str(Path(output.manifest).parent),
    message:
        "Index {wildcards.task} of {wildcards.source}'s {wildcards.split}"
    shell:
        "python {input.script:q} --task {wildcards.task:q} --split {wildcards.split:q} --annotations {params.file:q} "
        "--out-dir {params.folder:q} --threads {threads} --log {log:q}"
