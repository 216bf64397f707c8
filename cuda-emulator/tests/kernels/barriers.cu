// Barriers that the lanes of a warp reach at different times.

// Sound: a loop whose head is the barrier and whose end is a conditional atomic. nvcc makes of the
// condition a branch straight to the barrier, so some lanes are there first; sm_70 and later count
// threads.
extern "C" __global__ void loop_head(int* o, const int* in, int rounds) {
  __shared__ int s[64];
  int i = threadIdx.x, r = 0;
  s[i] = 0;
  for (;;) {
    __syncthreads();
    if (r == rounds) break;
    bool mine = in[i] >> r & 1;
    int to = (i + r++) & 63;
    if (mine) atomicAdd(&s[to], 1);
  }
  o[i] = s[i];
}
// Sound: the same with a nested loop of uneven length before the barrier comes round again.
extern "C" __global__ void loop_head_uneven(int* o, const int* in, int rounds) {
  __shared__ int s[64];
  int i = threadIdx.x, r = 0;
  s[i] = 0;
  for (;;) {
    __syncthreads();
    if (r++ == rounds) break;
    if (in[i] & 1) for (int k = 0; k < (i & 7); k++) atomicAdd(&s[(i + k) & 63], 1);
  }
  o[i] = s[i];
}
// Fault: some lanes leave the loop early and miss barriers their warp waits at.
extern "C" __global__ void loop_left(int* o, const int* in, int rounds) {
  __shared__ int s[64];
  int i = threadIdx.x, r = 0;
  s[i] = 0;
  for (; r < rounds; r++) {
    __syncthreads();
    if (in[i] >> r & 1) { atomicAdd(&s[i], 1); break; }
  }
  o[i] = s[i] * 100 + r;
}
// Fault: both sides of a branch have a barrier of their own.
extern "C" __global__ void two_barriers(int* o, const int* in) {
  __shared__ int s[64];
  int i = threadIdx.x;
  s[i] = i;
  if (in[i] & 1) { __syncthreads(); o[i] = s[i ^ 1]; atomicAdd(&o[64], 1); }
  else { s[i] = 2 * i; __syncthreads(); o[i] = s[i ^ 2]; atomicAdd(&o[65], 1); }
}
