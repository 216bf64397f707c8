// Which code of a container runs, and how many registers it takes.
extern "C" __global__ void arch(int* o) { o[threadIdx.x] = __CUDA_ARCH__; }
extern "C" __global__ void many_registers(float* o, const float* a) {
  float v[90];
#pragma unroll
  for (int i = 0; i < 90; i++) v[i] = a[i * 32 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 90; i++) o[i * 64 + threadIdx.x] = v[i] * v[(i * 7 + 3) % 90];
}
