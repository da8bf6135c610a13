"""Provenance: lock what went in and what came out, so that anybody can prove that it is the same again.

reads   everything that the build read and made
writes  results/build.lock.json, and build.lock.js, by which pages know it
"""


rule lock_build:
    input:
        outputs=locked(),
        sources=plan.declared_inputs,
        files=annotation_files(*(source.name for source in plan.used_sources)),
    output:
        lock=report(
            "results/build.lock.json",
            category="overview",
            labels={"what": "lock of the build"},
            caption="../report/lock.rst",
        ),
        names="results/build.lock.js",
    log:
        "logs/lock_build/all.log",
    benchmark:
        "benchmarks/lock_build/all.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 8
    resources:
        mem_mb=memory_for("lock_build"),
        runtime=time_for("lock_build"),
    params:
        script=script("lock_build"),
        code=code("lock_build"),
        config=plan.settings("build", "all"),
        rules=lambda wildcards: scripts_that_run(),
        history="data/locks",
        inputs=plan.locked_inputs,
        not_ours=(
            lambda wildcards: ["--not-ours", *plan.not_ours] if plan.not_ours else []
        ),
        made_by=lambda wildcards: [
            f"{name}={pattern.removesuffix(TAR)}"
            for name, made in patterns().items()
            for pattern in made
        ],
    message:
        "Lock the build"
    shell:
        "python {params.script:q} --config {params.config:q} --rules {params.rules:q} --inputs {params.inputs:q} "
        "--outputs {input.outputs:q} --history {params.history:q} {params.not_ours:q} --made-by {params.made_by:q} "
        "--threads {threads} --lock {output.lock:q} --log {log:q}"
