//! A warp: 32 lanes with their registers, each lane with its own place in the code. Lanes at the
//! same place are a group and run together.

use super::lanes::lanes_of;
use crate::instructions::async_copy::Copies;
use crate::ptx::kernel::*;

/// Lanes that are at the same place.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub pc: u32,
    pub mask: u32,
    pub state: State,
    /// instructions of the warp when the group was last chosen
    pub last_issue: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Running,
    /// at a barrier of the block, with its number
    AtBarrier(u32),
    AtClusterBarrier,
    /// for other lanes of the warp
    AtWarpSync,
}

pub struct Warp {
    pub registers: Vec<Values>,
    /// a bit for each lane
    pub predicates: Vec<u32>,
    pub carry: u32,
    pub alive: u32,
    pub groups: Vec<Group>,
    /// local memory of all lanes, one after the other
    pub local: Vec<u8>,
    /// of each lane: a number that grows where the warp's lanes were ordered
    pub epochs: [u32; 32],
    /// of each lane, once there was one
    pub copies: Vec<Copies>,
    /// instructions so far
    pub issued: u64,
    /// strong accesses since a group that waits long was let go
    pub strong_accesses: u64,
    /// lanes whose register or predicate came from memory that was never written
    pub undefined: Vec<u32>,
    pub undefined_predicates: Vec<u32>,
    pub has_undefined: bool,
    /// where such memory was last read
    pub undefined_from: u32,
    /// lanes that others of the warp found busy elsewhere when they reached a barrier
    pub owed: u32,
}

impl Warp {
    pub fn new(kernel: &Kernel) -> Warp {
        Warp {
            registers: vec![[0; 32]; kernel.registers + 1],
            predicates: vec![0; kernel.predicates + 1],
            carry: 0,
            alive: 0,
            groups: vec![],
            local: vec![0; 32 * kernel.local_size as usize],
            epochs: [1; 32],
            copies: vec![],
            issued: 0,
            strong_accesses: 0,
            undefined: vec![0; kernel.registers + 1],
            undefined_predicates: vec![0; kernel.predicates + 1],
            has_undefined: false,
            undefined_from: 0,
            owed: 0,
        }
    }

    /// For a block that begins, with these lanes. Registers keep what they had, as on a device.
    pub fn reset(&mut self, lanes: u32) {
        self.alive = lanes;
        self.groups.clear();
        self.groups.push(Group { pc: 0, mask: lanes, state: State::Running, last_issue: 0 });
        self.epochs = [1; 32];
        self.copies.clear();
        self.carry = 0;
        self.issued = 0;
        self.strong_accesses = 0;
        self.owed = 0;
        if std::mem::take(&mut self.has_undefined) {
            self.undefined.fill(0);
            self.undefined_predicates.fill(0);
        }
        self.local.fill(0);
    }

    #[inline(always)]
    pub fn predicate(&self, p: Predicate) -> u32 {
        let v = self.predicates[(p & !NEGATED) as usize];
        if p & NEGATED != 0 { !v } else { v }
    }

    /// Orders these lanes among themselves: what they did before comes before what they do next.
    pub fn order_lanes(&mut self, mask: u32) {
        let latest = lanes_of(mask).map(|lane| self.epochs[lane]).max().unwrap_or(0);
        self.set_epoch(mask, latest + 1);
    }

    /// Orders these lanes after everything that the warp did.
    pub fn order_after_all(&mut self, mask: u32) {
        let latest = self.epochs.iter().max().copied().unwrap_or(0);
        self.set_epoch(mask, latest + 1);
    }

    fn set_epoch(&mut self, mask: u32, epoch: u32) {
        for lane in lanes_of(mask) {
            self.epochs[lane] = epoch;
        }
    }
}
