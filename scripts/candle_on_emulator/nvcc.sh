#!/usr/bin/env bash
# Stands in for nvcc where candle's own kernels are built for the emulator: PTX is the real one's
# (BIHALF_NVCC), machine code to link is left out: quantised models alone call it.
out='' previous='' real=''
for argument in "$@"; do
    case $previous in -o | --output-file) out=$argument ;; esac
    case $argument in
        -ptx | --ptx | --version | -V | --list-gpu-code | --list-gpu-arch) real=1 ;;
    esac
    previous=$argument
done
[ -n "$real" ] && exec "$BIHALF_NVCC" "$@"
case $out in
    *.o) cc -c -x c /dev/null -o "$out" ;;
    *.a) cc -c -x c /dev/null -o "$out.o" && ar rcs "$out" "$out.o" ;;
    '') ;;
    *) : >"$out" ;;
esac
