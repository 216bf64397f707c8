//! Compute kernels for learning binary hash codes.
