"""Runs a Jupyter program whose kernels start at once: `python tests/forked.py jupyterlab book --no-browser`.

Most of a kernel's start is imports: three seconds of them in a course, whose tests start forty-five kernels, and ten where there are
networks. Here each kernel is a fork of a process that has imported what all need, and has done nothing else. What follows is the kernel's
own program, and Jupyter watches, interrupts and kills it as ever.

nbgrader takes as long to start, and its commands are forks of that process too: `python tests/forked.py nbgrader '{"folder": [["autograde", "02_exchange"]]}'`
runs the commands of each folder one after the other, beside those of the other folders, until one fails.
"""

import json
import multiprocessing
import os
import runpy
import signal
import sys
import time
from multiprocessing import connection, forkserver

IMPORTED = {
    "nbgrader": ["nbgrader.apps.nbgraderapp", "ipykernel.kernelapp", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "magbook.checks",
                 "scipy.interpolate", "scipy.spatial"],
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


def program(name, arguments, cwd="."):
    """A Jupyter program with such kernels, in this process."""
    from jupyter_client.provisioning import local_provisioner

    local_provisioner.launch_kernel = Kernel
    os.chdir(cwd)
    sys.argv[:] = [name, *arguments]
    runpy.run_module(name, run_name="__main__")


def command(folder, arguments):
    """A command of nbgrader, in a process of the fork server, which serves its kernels too."""
    forkserver._forkserver.ensure_running = lambda: None  # else it begins another
    program("nbgrader", arguments, folder)


def commands(left):
    """{folder: commands}: those of a folder one after the other. From one thread: where two ask a process how it ended, one of them is told 255."""
    running = {}
    while any(left.values()) or running:
        for folder in left:
            if left[folder] and folder not in running:
                arguments = left[folder].pop(0)
                running[folder] = arguments, multiprocessing.get_context("forkserver").Process(target=command, args=(folder, arguments))
                running[folder][1].start()
        connection.wait([process.sentinel for _, process in running.values()])
        for folder, (arguments, process) in list(running.items()):
            if process.exitcode is not None:
                del running[folder]
            if process.exitcode:
                raise RuntimeError(f"nbgrader {arguments} ended with {process.exitcode}")


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    multiprocessing.set_forkserver_preload(IMPORTED[name])
    if name == "nbgrader":
        commands(json.loads(arguments[0]))
    else:
        program(name, arguments)
