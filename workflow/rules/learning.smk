"""Learning: train each run of the experiments, evaluate it, and set the runs side by side.

reads   results/{subset}/tensors and masks
writes  results/experiments/{run}/: weights, history, curves, metrics; results/experiments/comparison.*

Checkpoints are no outputs: they must outlive a killed job. They lie in data/checkpoints under the digest of config,
code and data, so that only a run that would be the same goes on from them.
"""


rule train_model:
    input:
        tensors=lambda wildcards: made(plan.runs[wildcards.run].tensors),
        labels=lambda wildcards: plan.runs[wildcards.run].labels,
        evaluated=lambda wildcards: made(plan.runs[wildcards.run].withheld),
        encoder=lambda wildcards: plan.runs[wildcards.run].run.weights_file or [],
    output:
        weights="results/experiments/{run}/model.safetensors",
        training="results/experiments/{run}/training.json",
        images="results/experiments/{run}/train_images.tsv",
        history="results/experiments/{run}/history.csv",
        curves=report(
            "results/experiments/{run}/curves.png",
            category="experiments",
            labels={"run": "{run}", "what": "curves of training"},
            caption="../report/curves.rst",
        ),
    log:
        "logs/train_model/{run}.log",
    benchmark:
        "benchmarks/train_model/{run}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: lambda wildcards: plan.runs[wildcards.run].training_threads
    resources:
        mem_mb=need(4000, 1),
        runtime=lambda wildcards, attempt: attempt * plan.runs[wildcards.run].minutes,
        gpu=lambda wildcards: plan.runs[wildcards.run].training_gpus or None,
    params:
        script=script("train_model"),
        code=code("train_model"),
        settings=settings("training", "run"),
        folder=lambda wildcards, output: str(Path(output.weights).parent),
        checkpoints="data/checkpoints/{run}",
        logs="logs/train_model/{run}",
        withheld=lambda wildcards, input: (
            [
                *plan.runs[wildcards.run].judged,
                "--evaluated-on",
                *plan.runs[wildcards.run].withheld,
            ]
            if input.evaluated
            else []
        ),
    message:
        "Train {wildcards.run}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --tensors {input.tensors:q} "
        "--labels {input.labels:q} {params.withheld:q} --out-dir {params.folder:q} "
        "--checkpoint-dir {params.checkpoints:q} --tensorboard {params.logs:q} --log {log:q}"


rule evaluate_model:
    input:
        weights="results/experiments/{run}/model.safetensors",
        training="results/experiments/{run}/training.json",
        tensors=lambda wildcards: made(
            plan.runs[wildcards.run].evaluation_tensors(wildcards.subset)
        ),
        labels="results/{subset}/labels.json",
        images="results/{subset}/images.tsv",
        measures="results/{subset}/images.parquet",
        masks=made("results/{subset}/masks"),
        table="results/{subset}/masks.tsv",
        seen="results/experiments/{run}/train_images.tsv",
        subset="results/{subset}/subset.json",
        lock="results/{subset}/images.lock.tsv",
        photographs=photographs("{subset}"),
        tags=lambda wildcards: plan.subsets[wildcards.subset].tagged[1:],
    output:
        folder=folder("results/experiments/{run}/on-{subset}"),
    log:
        "logs/evaluate_model/{run}/{subset}.log",
    benchmark:
        "benchmarks/evaluate_model/{run}/{subset}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: lambda wildcards: plan.runs[wildcards.run].threads
    resources:
        mem_mb=need(4000, 1),
        runtime=minutes(60),
        gpu=lambda wildcards: plan.runs[wildcards.run].gpus or None,
    params:
        script=script("evaluate_model"),
        code=code("evaluate_model"),
        settings=settings("run", "run"),
        run=lambda wildcards, input: str(Path(input.weights).parent),
        subset=lambda wildcards, input: str(Path(input.images).parent),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
        tagged=lambda wildcards: plan.subsets[wildcards.subset].tagged,
    message:
        "Evaluate {wildcards.run} on {wildcards.subset}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --run-dir {params.run:q} --tensors {input.tensors:q} "
        "--labels {input.labels:q} --subset-dir {params.subset:q} --store-dir {params.store:q} {params.tagged:q} "
        "--out-dir {output.folder:q} --log {log:q}"


rule compare_experiments:
    input:
        evaluations=made(plan.evaluations),
    output:
        table="results/experiments/comparison.tsv",
        facts="results/experiments/comparison.json",
        page="results/experiments/comparison.html",
    log:
        "logs/compare_experiments/all.log",
    benchmark:
        "benchmarks/compare_experiments/all.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("compare_experiments"),
        runtime=time_for("compare_experiments"),
    params:
        script=script("compare_experiments"),
        code=code("compare_experiments"),
        folder=lambda wildcards, output: str(Path(output.table).parent),
    message:
        "Compare the experiments"
    shell:
        "python {params.script:q} --runs {input.evaluations:q} --out-dir {params.folder:q} --log {log:q}"
