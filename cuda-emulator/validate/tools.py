"""Where the scripts beside this file find nvcc, the emulator and a place for their files."""
import json
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)


def find_nvcc():
    if 'NVCC' in os.environ:
        return os.environ['NVCC']
    dirs = [os.path.join(os.environ[v], 'bin') for v in ('CUDA_HOME', 'CUDA_PATH') if v in os.environ]
    dirs += os.environ.get('PATH', '').split(os.pathsep) + ['/usr/local/cuda/bin']
    for d in dirs:
        if os.path.isfile(os.path.join(d, 'nvcc')):
            return os.path.join(d, 'nvcc')
    raise SystemExit('no nvcc: set NVCC or CUDA_HOME')


def cargo(*args):
    """Runs cargo for the package; the executables and libraries it made, by target name."""
    made = {}
    r = subprocess.run(['cargo', *args, '--package', 'cuda-emulator', '--message-format', 'json'],
                       cwd=PACKAGE, stdout=subprocess.PIPE, text=True, check=True)
    for line in r.stdout.split('\n'):
        m = json.loads(line) if line.startswith('{') else {}
        if m.get('reason') == 'compiler-artifact':
            name = m['target']['name']
            if m.get('executable'):
                made[name] = m['executable']
            for f in m['filenames']:
                if f.endswith('.so') and name == 'cuda_emulator':
                    made['library'] = f
    return made


NVCC = find_nvcc()
MADE = cargo('build', '--lib', '--example', 'run_kernel')
WORK = os.path.join(os.path.dirname(os.path.dirname(MADE['library'])), 'tmp', 'validate')
os.makedirs(os.path.join(WORK, 'driver'), exist_ok=True)
LINK = os.path.join(WORK, 'driver', 'libcuda.so')
if os.path.islink(LINK):
    os.remove(LINK)
os.symlink(MADE['library'], LINK)
ENV = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(LINK))


def work(name):
    return os.path.join(WORK, name)


def run_kernel(ptx, kernel, inp, out, size, n):
    return subprocess.run([MADE['run_kernel'], ptx, kernel, inp, out, str(size), str(n)],
                          env=ENV, capture_output=True, text=True)


def ptxas():
    beside = os.path.join(os.path.dirname(NVCC), 'ptxas')
    return beside if os.path.isfile(beside) else shutil.which('ptxas')
