"""Deletes each barrier of the test kernels in turn: who notices?

usage: mut.py
A line per barrier with the kinds of findings and whether the test's own results were wrong, then a
summary. Five deletions are not found: two bar.warp.sync that guard no data, and three of the four
barriers inside grid.sync, which order global memory only."""
import os,re,subprocess,shutil
from tools import ENV,NVCC,PACKAGE,cargo,work
TEST=cargo('test','--no-run')['emulator']
D=work('mut'); os.makedirs(D,exist_ok=True)
SOURCES=('basic','cubt','more')
NOT_RUN=('named_bad','uninit_branch') # planted faults, of other tests
for s in SOURCES:
    subprocess.run([NVCC,'-ptx','-lineinfo','-std=c++17','-arch=compute_80',f'{PACKAGE}/tests/kernels/{s}.cu','-o',work(f'{s}.80.ptx')],check=True)
env=dict(ENV,EMULATOR_TEST_PTX=D,EMULATOR_TEST_CHILD='80',CUDAEMU_TIMEOUT_S='10',CUDAEMU_CC='90',RUST_BACKTRACE='0')
def run(test):
    r=subprocess.run([TEST,'--exact','--nocapture','kernels::'+test],env=env,capture_output=True,text=True,timeout=120)
    assert 'running 1 test' in r.stdout,r.stdout
    return r.stdout+r.stderr
total=0; silent=[]
for f,tests in (('basic',['bitonic_sort_in_shared_memory','radix_histogram','warp_operations']),('cubt',['cub_blocks']),('more',['groups_and_barriers'])):
    for s in SOURCES: shutil.copy(work(f'{s}.80.ptx'),f'{D}/{s}.80.ptx')
    for t in tests: assert 'test result: ok' in run(t),t
    src=open(work(f'{f}.80.ptx')).read().split('\n')
    kern=None
    for i,line in enumerate(src):
        m=re.search(r'\.entry (\w+)',line)
        if m: kern=m.group(1)
        if not re.search(r'\bbar\.(sync|warp\.sync)|\bbarrier\.',line) or kern in NOT_RUN: continue
        m2=list(src); m2[i]=re.sub(r'(@!?%\w+\s+)?\b(bar\.(sync|warp\.sync)|barrier\.\w+)[^;]*;','',line)
        open(f'{D}/{f}.80.ptx','w').write('\n'.join(m2))
        out=''.join(run(t) for t in tests)
        kinds=sorted(set(re.findall(r'cudaemu: (?:ERROR|warning) \[(\w+)\]',out))-{'uninit_shared','leak','leak_handles'})
        wrong='test result: FAILED' in out
        found=wrong or 'cudaemu: ERROR' in out or any(k.startswith('warp_race') for k in kinds)
        what=f'{f} {kern} line {i+1} {line.strip()}'
        print(what,'->',kinds,'wrong or failed' if wrong else 'passed',flush=True)
        total+=1
        if not found: silent.append(what)
print(f'{total-len(silent)} of {total} deletions found; not found:',*silent,sep='\n  ')
