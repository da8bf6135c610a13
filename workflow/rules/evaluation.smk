"""Evaluation: run the user's own programs, and judge predictions of any, on a subset's split or a source's own file.

reads   the predictions, wherever they lie; results/{subset}/ or data/annotations/{source}/
        results/{subset}/exports/{format}, which a program of the user's reads
writes  results/experiments/{program}/: what a program wrote, and program.json; data/checkpoints/{program} is its own
        results/predictions/comparison.*: all predictions and runs beside one another
        results/predictions/{prediction}/: metrics.json, the figures of each bootstrap draw, what was left out
"""


rule run_program:
    input:
        export=lambda wildcards: made(plan.programs[wildcards.program].export),
        reads=lambda wildcards: made(plan.programs[wildcards.program].reads),
    output:
        facts="results/experiments/{program}/program.json",
        folder=folder("results/experiments/{program}/output"),
    log:
        "logs/run_program/{program}.log",
    benchmark:
        "benchmarks/run_program/{program}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: lambda wildcards: plan.programs[wildcards.program].experiment.threads
    resources:
        mem_mb=lambda wildcards: plan.programs[wildcards.program].experiment.memory_mb,
        runtime=lambda wildcards: plan.programs[wildcards.program].minutes,
        gpu=lambda wildcards: plan.programs[wildcards.program].experiment.gpus or None,
    params:
        script=script("run_program"),
        code=code("run_program"),
        settings=settings("program", "program"),
        subset=lambda wildcards: plan.programs[wildcards.program].subset,
        folder=lambda wildcards, output: str(Path(output.facts).parent),
        checkpoints="data/checkpoints/{program}",
        printed="logs/run_program/{program}.txt",
    message:
        "Run the program of {wildcards.program}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --export {input.export:q} "
        "--subset-dir {params.subset:q} --reads {input.reads:q} --checkpoint-dir {params.checkpoints:q} "
        "--printed {params.printed:q} --out-dir {params.folder:q} --log {log:q}"


rule evaluate_predictions:
    input:
        given=lambda wildcards: made(plan.predictions[wildcards.prediction].given),
        truth=lambda wildcards: made(plan.predictions[wildcards.prediction].truth),
        files=lambda wildcards: annotation_files(
            *plan.predictions[wildcards.prediction].sources
        ),
        photographs=lambda wildcards: photographs(
            *plan.predictions[wildcards.prediction].pictured
        ),
    output:
        folder=folder("results/predictions/{prediction}"),
    log:
        "logs/evaluate_predictions/{prediction}.log",
    benchmark:
        "benchmarks/evaluate_predictions/{prediction}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=need(2000, 4),
        runtime=minutes(60),
    params:
        script=script("evaluate_predictions"),
        code=code("evaluate_predictions"),
        settings=settings("predictions", "prediction"),
        options=lambda wildcards: plan.predictions[wildcards.prediction].options,
    message:
        "Judge the predictions {wildcards.prediction}"
    shell:
        "python {params.script:q} --settings {params.settings:q} {params.options:q} --out-dir {output.folder:q} "
        "--log {log:q}"


if plan.compared:

    rule compare_predictions:
        input:
            judged=made(plan.compared),
            truth=made(plan.compared_truth),
            files=annotation_files(
                *sorted({x for one in plan.predictions.values() for x in one.sources})
            ),
            photographs=photographs(*plan.compared_subsets),
        output:
            facts="results/predictions/comparison.json",
            page=report(
                "results/predictions/comparison.html",
                category="predictions",
                labels={"what": "all predictions and runs compared"},
            ),
        log:
            "logs/compare_predictions/all.log",
        benchmark:
            "benchmarks/compare_predictions/all.tsv"
        conda:
            "../../envs/learning.yaml"
        threads: 1
        resources:
            mem_mb=need(800, 1),
            runtime=minutes(10),
        params:
            script=script("compare_predictions"),
            code=code("compare_predictions"),
            folder=lambda wildcards, output: str(Path(output.facts).parent),
            places=plan.compared_on,
        message:
            "Compare all predictions and runs"
        shell:
            "python {params.script:q} --judged {input.judged:q} {params.places:q} --out-dir {params.folder:q} --log {log:q}"
