//! The special registers of a warp, which are filled before its first instruction.

use super::block::Block;
use super::coordinates;
use crate::ptx::kernel::{SHARED_BASE, Special, Values};
use std::array::from_fn;

/// Warps that a multiprocessor can have.
const WARP_SLOTS: u64 = 64;

impl Block<'_> {
    pub(super) fn set_special_registers(&mut self, warp: usize) {
        for &(special, register) in &self.launch.kernel.specials {
            self.warps[warp].registers[register as usize] = self.special_register(special, warp);
        }
    }

    fn special_register(&self, special: Special, warp: usize) -> Values {
        const LANES: u64 = 0xffff_ffff;
        match special {
            Special::Tid(a) => self.thread_indices(warp, a),
            Special::LaneId => from_fn(|lane| lane as u64),
            Special::LaneMaskEq => from_fn(|lane| 1 << lane),
            Special::LaneMaskLt => from_fn(|lane| (1 << lane) - 1),
            Special::LaneMaskLe => from_fn(|lane| (2 << lane) - 1),
            Special::LaneMaskGt => from_fn(|lane| LANES & !((2 << lane) - 1)),
            Special::LaneMaskGe => from_fn(|lane| LANES & !((1 << lane) - 1)),
            special => [self.uniform_register(special, warp); 32],
        }
    }

    /// A coordinate of each thread of a warp.
    fn thread_indices(&self, warp: usize, axis: u8) -> Values {
        let dims = self.launch.block;
        let mut index = coordinates(warp as u64 * 32, dims);
        from_fn(|_| {
            let value = component(index, axis);
            index[0] += 1;
            if index[0] == dims[0] {
                (index[0], index[1]) = (0, index[1] + 1);
            }
            if index[1] == dims[1] {
                (index[1], index[2]) = (0, index[2] + 1);
            }
            value
        })
    }

    /// One that is the same for all lanes.
    fn uniform_register(&self, special: Special, warp: usize) -> u64 {
        let launch = self.launch;
        match special {
            Special::Ntid(a) => component(launch.block, a),
            Special::Ctaid(a) => component(self.index, a),
            Special::Nctaid(a) => component(launch.grid, a),
            Special::WarpId => warp as u64,
            Special::NwarpId => WARP_SLOTS,
            Special::SmId => self.number % launch.multiprocessors as u64,
            Special::NsmId => launch.multiprocessors as u64,
            Special::GridId => 1,
            Special::DynamicSharedSize => launch.dynamic_shared as u64,
            Special::TotalSharedSize => self.shared.len() as u64,
            Special::DynamicSharedBase => SHARED_BASE + launch.kernel.dynamic_shared_offset(),
            Special::ClusterId(a) => component(launch.cluster.id(self.index), a),
            Special::NclusterId(a) => component(launch.cluster.clusters(launch.grid), a),
            Special::ClusterCtaid(a) => component(launch.cluster.place(self.index), a),
            Special::ClusterNctaid(a) => component(launch.cluster.0, a),
            Special::ClusterRank => launch.cluster.rank(self.index) as u64,
            Special::ClusterSize => launch.cluster.size() as u64,
            Special::IsExplicitCluster => launch.is_explicit_cluster as u64,
            // where cooperative groups look for the workspace of the grid
            Special::EnvReg(1) => launch.workspace >> 32,
            Special::EnvReg(2) => launch.workspace & 0xffff_ffff,
            _ => 0,
        }
    }
}

/// The fourth component of a vector is 0.
fn component(vector: [u32; 3], axis: u8) -> u64 {
    vector.get(axis as usize).copied().unwrap_or(0) as u64
}
