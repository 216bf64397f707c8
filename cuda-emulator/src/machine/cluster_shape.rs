//! The shape of a cluster: which blocks of a grid form one, and which launches a driver accepts.

use crate::ptx::kernel::Kernel;

/// A cluster of this many blocks can be launched on every device that has clusters.
pub const PORTABLE: u32 = 8;
/// What a device of capability 9.0 takes of a kernel that allows non-portable sizes.
pub const LARGEST: u32 = 16;
/// Multiprocessors of each processing cluster of the device. A cluster does not leave one.
const PROCESSING_CLUSTERS: [u32; 8] = [16, 16, 16, 16, 16, 16, 18, 18];

/// Blocks of a cluster in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterShape(pub [u32; 3]);

impl ClusterShape {
    /// Every block by itself: a launch without clusters.
    pub const ONE: ClusterShape = ClusterShape([1; 3]);

    /// Blocks of the cluster.
    pub fn size(self) -> u32 {
        self.0.iter().product()
    }

    /// Clusters of the grid in each direction.
    pub fn clusters(self, grid: [u32; 3]) -> [u32; 3] {
        [0, 1, 2].map(|a| grid[a] / self.0[a])
    }

    /// The cluster that a block is in.
    pub fn id(self, block: [u32; 3]) -> [u32; 3] {
        [0, 1, 2].map(|a| block[a] / self.0[a])
    }

    /// A block's place in its cluster.
    pub fn place(self, block: [u32; 3]) -> [u32; 3] {
        [0, 1, 2].map(|a| block[a] % self.0[a])
    }

    /// A block's number in its cluster.
    pub fn rank(self, block: [u32; 3]) -> u32 {
        let [x, y, z] = self.place(block);
        x + self.0[0] * (y + self.0[1] * z)
    }

    /// The number in the grid of the block with this rank in this cluster.
    pub fn block(self, cluster: u64, rank: u32, grid: [u32; 3]) -> u64 {
        let at = |n: u64, dims: [u32; 3]| {
            let [w, h, _] = dims.map(u64::from);
            [n % w, n / w % h, n / (w * h)]
        };
        let id = at(cluster, self.clusters(grid));
        let place = at(rank as u64, self.0);
        let [x, y, z] = [0, 1, 2].map(|a| id[a] * self.0[a] as u64 + place[a]);
        x + grid[0] as u64 * (y + grid[1] as u64 * z)
    }

    /// Clusters that are on the device together, when a multiprocessor has room for so many blocks.
    pub fn resident(self, blocks: u32) -> u32 {
        PROCESSING_CLUSTERS.iter().map(|n| n * blocks / self.size()).sum()
    }
}

/// Why a launch with clusters is refused.
pub enum Refused {
    /// The device has no clusters.
    NotSupported(String),
    /// The sizes do not fit: CUDA_ERROR_INVALID_CLUSTER_SIZE, "cluster misconfiguration".
    Size(String),
}

/// What decides over the cluster of a launch, beside the grid.
pub struct ClusterRules<'a> {
    pub kernel: &'a Kernel,
    /// CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH and its like, set by the program; zeros without
    pub required: [u32; 3],
    /// CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
    pub is_non_portable: bool,
    /// compute capability of the device
    pub capability: u32,
}

impl ClusterRules<'_> {
    /// The cluster that a launch of this grid has when its attributes ask for `asked`: the one in
    /// the kernel's header, the one set for the function or the one asked for, which must agree.
    /// None for a launch without.
    pub fn shape(
        &self,
        asked: Option<[u32; 3]>,
        grid: [u32; 3],
    ) -> Result<Option<ClusterShape>, Refused> {
        let size = |t: String| Err(Refused::Size(t));
        let declared = self.kernel.cluster;
        let fixed = [declared.required, self.required].into_iter().find(|d| *d != [0; 3]);
        let dims = match (fixed, asked) {
            (Some(f), Some(a)) if f != a => {
                return size(format!("cluster {a:?}, but the kernel requires {f:?}"));
            }
            (Some(dims), _) | (None, Some(dims)) => dims,
            (None, None) if declared.explicit => {
                return size("the kernel has to be launched with a cluster".into());
            }
            (None, None) => return Ok(None),
        };
        if self.capability < 90 {
            let t = format!(
                "cluster {dims:?} on a device of capability {} (CUDAEMU_CC)",
                self.capability
            );
            return Err(Refused::NotSupported(t));
        }
        if dims.contains(&0) {
            return size(format!("cluster {dims:?} has a zero"));
        }
        let n = dims.iter().fold(1u32, |n, &d| n.saturating_mul(d));
        let most = if self.is_non_portable { LARGEST } else { PORTABLE };
        if n > most {
            return size(format!("cluster {dims:?} of {n} blocks, at most {most}"));
        }
        if declared.max_blocks > 0 && n > declared.max_blocks {
            return size(format!(
                "{n} blocks in a cluster, .maxclusterrank is {}",
                declared.max_blocks
            ));
        }
        if (0..3).any(|a| !grid[a].is_multiple_of(dims[a])) {
            return size(format!("grid {grid:?} is no multiple of cluster {dims:?}"));
        }
        Ok(Some(ClusterShape(dims)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_one_place() {
        let (shape, grid) = (ClusterShape([2, 3, 2]), [6, 3, 4]);
        assert_eq!(shape.size(), 12);
        assert_eq!(shape.clusters(grid), [3, 1, 2]);
        let mut seen = vec![false; 72];
        for cluster in 0..6 {
            for rank in 0..12 {
                let n = shape.block(cluster, rank, grid);
                assert!(!std::mem::replace(&mut seen[n as usize], true));
                let block = [n as u32 % 6, n as u32 / 6 % 3, n as u32 / 18];
                assert_eq!(shape.rank(block), rank);
                let [x, y, z] = shape.id(block).map(u64::from);
                assert_eq!(x + 3 * (y + z), cluster);
            }
        }
        assert!(seen.into_iter().all(|s| s));
    }

    #[test]
    fn resident_clusters() {
        // one block on each multiprocessor: eight processing clusters of 16 or 18
        assert_eq!(ClusterShape([16, 1, 1]).resident(1), 8);
        assert_eq!(ClusterShape([2, 1, 1]).resident(1), 66);
        assert_eq!(ClusterShape([2, 2, 2]).resident(0), 0);
    }
}
