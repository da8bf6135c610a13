"""Synthetic: draw a bucket of COCO's shape, to be synced from as from any other.

reads   the config: the settings of a synthetic source
writes  data/demo/{source}/ with a bucket.json that lists its files
"""


rule make_demo_bucket:
    output:
        manifest="data/demo/{source}/bucket.json",
    log:
        "logs/make_demo_bucket/{source}.log",
    benchmark:
        "benchmarks/make_demo_bucket/{source}.tsv"
    localrule: BUCKET
    conda:
        "../../envs/data.yaml"
    threads: 8
    resources:
        mem_mb=memory_for("make_demo_bucket"),
        runtime=time_for("make_demo_bucket"),
    params:
        script=script("make_demo_bucket"),
        code=code("make_demo_bucket"),
        settings=settings("synthetic", "source"),
        folder=lambda wildcards, output: str(Path(output.manifest).parent),
    message:
        "Draw the synthetic bucket {wildcards.source}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --out-dir {params.folder:q} "
        "--manifest {output.manifest:q} --threads {threads} --log {log:q}"
