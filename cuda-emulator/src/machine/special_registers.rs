//! The special registers of a warp, which are filled before its first instruction.

use super::block::Block;
use super::coordinates;
use crate::ptx::kernel::{SHARED_BASE, Special};

/// Warps that a multiprocessor can have.
const WARP_SLOTS: u64 = 64;

impl Block<'_> {
    pub(super) fn set_special_registers(&mut self, warp: usize) {
        for &(special, register) in &self.launch.kernel.specials {
            let values = std::array::from_fn(|lane| self.special_register(special, warp, lane));
            self.warps[warp].registers[register as usize] = values;
        }
    }

    fn special_register(&self, special: Special, warp: usize, lane: usize) -> u64 {
        let launch = self.launch;
        // the fourth component of a vector is 0
        let axis = |v: [u32; 3], axis: u8| v.get(axis as usize).copied().unwrap_or(0) as u64;
        match special {
            Special::Tid(a) => axis(coordinates((warp * 32 + lane) as u64, launch.block), a),
            Special::Ntid(a) => axis(launch.block, a),
            Special::Ctaid(a) => axis(self.index, a),
            Special::Nctaid(a) => axis(launch.grid, a),
            Special::LaneId => lane as u64,
            Special::WarpId => warp as u64,
            Special::WarpSlots => WARP_SLOTS,
            Special::SmId => self.number % launch.multiprocessors as u64,
            Special::SmCount => launch.multiprocessors as u64,
            Special::GridId => 1,
            Special::LaneMaskEq => 1 << lane,
            Special::LaneMaskLt => (1 << lane) - 1,
            Special::LaneMaskLe => (2 << lane) - 1,
            Special::LaneMaskGt => 0xffff_ffff & !((2 << lane) - 1),
            Special::LaneMaskGe => 0xffff_ffff & !((1 << lane) - 1),
            Special::DynamicSharedSize => launch.dynamic_shared as u64,
            Special::TotalSharedSize => self.shared.len() as u64,
            Special::DynamicSharedBase => SHARED_BASE + launch.kernel.dynamic_shared_offset(),
            Special::Zero => 0,
            Special::ClusterId(a) => axis(launch.cluster.id(self.index), a),
            Special::NclusterId(a) => axis(launch.cluster.clusters(launch.grid), a),
            Special::ClusterCtaid(a) => axis(launch.cluster.place(self.index), a),
            Special::ClusterNctaid(a) => axis(launch.cluster.0, a),
            Special::ClusterRank => launch.cluster.rank(self.index) as u64,
            Special::ClusterSize => launch.cluster.size() as u64,
            Special::IsExplicitCluster => launch.is_explicit_cluster as u64,
            // where cooperative groups look for the workspace of the grid
            Special::Environment(1) => launch.workspace >> 32,
            Special::Environment(2) => launch.workspace & 0xffff_ffff,
            Special::Environment(_) => 0,
        }
    }
}
