//! Programs on the emulated driver, one process each: the driver reads its environment once, and
//! an error stays with the process as it does on a GPU.

mod common;

mod barriers;
mod clusters;
mod counters;
mod faults;
mod image;
mod limits;
mod loading;
mod messages;
mod programs;
mod readme;
mod robustness;
mod validation;
