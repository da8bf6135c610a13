"""Evaluation: judge predictions of any program, alike, on a subset's split or on a source's annotation file.

reads   the predictions, wherever they lie; results/{subset}/ or data/annotations/{source}/
writes  results/predictions/{prediction}/: metrics.json, the figures of each bootstrap draw, what was left out
"""


rule evaluate_predictions:
    input:
        given=lambda wildcards: plan.predictions[wildcards.prediction].given,
        truth=lambda wildcards: plan.predictions[wildcards.prediction].truth,
        script=ancient(script("evaluate_predictions")),
    output:
        folder=directory("results/predictions/{prediction}"),
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
        code=code("evaluate_predictions"),
        settings=settings("predictions", "prediction"),
        options=lambda wildcards: plan.predictions[wildcards.prediction].options,
    message:
        "Judge the predictions {wildcards.prediction}"
    shell:
        "python {input.script:q} --settings {params.settings:q} {params.options:q} --out-dir {output.folder:q} "
        "--log {log:q}"
