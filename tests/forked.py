"""Runs a Jupyter program whose kernels start at once: `python tests/forked.py nbgrader autograde 02_exchange`.

Most of a kernel's start is imports: three seconds of them in a course, whose tests start forty-five kernels, and ten where there are
networks. Here each kernel is a fork of a process that has imported what all need, and has done nothing else. What follows is the kernel's
own program, and Jupyter watches, interrupts and kills it as ever.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import time

IMPORTED = {
    "nbgrader": ["ipykernel.kernelapp", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "magbook.checks", "scipy.interpolate", "scipy.spatial"],
    "jupyterlab": ["ipykernel.kernelapp", "keras", "magbook", "nbformat", "pandas"],  # not plotly: it looks for a notebook when it is imported
}


class Kernel:
    """Of `subprocess.Popen` what Jupyter asks for."""

    stdin = stdout = stderr = None

    def __init__(self, command, cwd=None, env=None, **options):
        self.process = multiprocessing.get_context("forkserver").Process(target=run, args=(command[3:], cwd, env))
        self.process.start()
        self.pid = self.process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid:  # a signal to its group must not reach the others
            time.sleep(0.01)

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)


def run(arguments, cwd, env):
    """The program of a kernel, in the process that becomes one."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a fork server has left it out
    os.environ.update(env or {})
    if cwd:
        os.chdir(cwd)
    sys.argv[1:] = arguments
    from ipykernel.kernelapp import launch_new_instance
    launch_new_instance()


if __name__ == "__main__":
    from jupyter_client.provisioning import local_provisioner

    local_provisioner.launch_kernel = Kernel
    sys.argv[:2] = sys.argv[1:2]
    multiprocessing.set_forkserver_preload(IMPORTED[sys.argv[0]])
    runpy.run_module(sys.argv[0], run_name="__main__")
