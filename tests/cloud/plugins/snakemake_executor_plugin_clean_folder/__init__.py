"""An executor for tests: each job in an empty folder of its own, as on a machine that shares nothing but the bucket.

Snakemake's own path of a job that runs elsewhere: its sources come as a tar from the bucket, its inputs too, and its
outputs go there. A job sees neither the folder in which snakemake was started nor that of any other job.
"""

import os
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True, implies_no_shared_fs=True, job_deploy_sources=True, auto_deploy_default_storage_provider=False
)

KEPT = ("PATH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
"""What a job's container has of the environment: where programs are, and the keys of the bucket."""


class Executor(RemoteExecutor):
    """Starts each job in a folder of its own, below $CLEAN_FOLDERS."""

    def __post_init__(self) -> None:
        self.folders = Path(os.environ["CLEAN_FOLDERS"])

    def run_job(self, job: JobExecutorInterface) -> None:
        folder = Path(tempfile.mkdtemp(dir=self.folders))
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"HOME": str(folder), "PYTHONPATH": str(Path(__file__).parent.parent)}
        with open(folder / "printed.txt", "wb") as printed:
            process = subprocess.Popen(
                ["bash", "-c", self.format_job_exec(job)],
                cwd=folder,
                env=environment | dict(self.envvars()),
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        aux = {"process": process, "printed": folder / "printed.txt"}
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=folder.name, aux=aux))

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        for one in active_jobs:
            code = one.aux["process"].poll()
            if code is None:
                yield one
            elif code == 0:
                self.report_job_success(one)
            else:
                self.report_job_error(one, msg=one.aux["printed"].read_text(errors="replace")[-6000:])

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        for one in active_jobs:
            one.aux["process"].terminate()
