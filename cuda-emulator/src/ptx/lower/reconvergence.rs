//! The order in which diverged lanes of a warp run: which of them waits for which.

use crate::instructions::{Op, control::Control};
use crate::ptx::kernel::{Kernel, NONE};

/// Rank of an aligned barrier, on top of its place: lanes that reach one let the rest of their warp
/// run first, as sm_70 and later count threads and not warps there. A barrier at the head of a loop
/// would otherwise be met by some lanes while others still finish the loop's body.
pub const AT_BARRIER: u32 = 1 << 31;

/// Loops within loops that are ordered; what is deeper keeps the order of the code.
const MAX_NESTING: u32 = 100;

/// By instruction: its rank. Basic blocks are in an order where loops are contiguous and every join
/// comes after all that leads to it; running the lowest rank first then reconverges at the immediate
/// post-dominator.
pub(super) fn ranks(kernel: &Kernel) -> Vec<u32> {
    let starts = block_starts(kernel);
    let n = kernel.code.len();
    let end = |b: usize| starts.get(b + 1).copied().unwrap_or(n);
    let mut block_of = vec![0u32; n];
    for b in 0..starts.len() {
        block_of[starts[b]..end(b)].fill(b as u32);
    }
    let successors: Vec<Vec<u32>> =
        (0..starts.len()).map(|b| successors(kernel, end(b), &block_of)).collect();
    let mut sorter = Sorter {
        successors: &successors,
        level_of: vec![0; starts.len()],
        levels: 0,
        order: Vec::with_capacity(starts.len()),
    };
    let all: Vec<u32> = (0..starts.len() as u32).collect();
    sorter.sort(&all, 0, 0);
    let mut ranks = vec![0; n];
    let mut next = 0;
    for b in sorter.order {
        for rank in &mut ranks[starts[b as usize]..end(b as usize)] {
            *rank = next;
            next += 1;
        }
    }
    ranks
}

/// Instructions that an instruction may go to, but for the next one.
fn targets(kernel: &Kernel, op: Op) -> &[u32] {
    match op {
        Op::Control(Control::BranchTable(table)) => &kernel.branch_tables[table as usize],
        _ => &[],
    }
}

fn ends_block(op: Op) -> bool {
    use Control::*;
    matches!(op, Op::Control(Branch(_) | BranchTable(_) | Exit | Trap))
}

fn block_starts(kernel: &Kernel) -> Vec<usize> {
    let n = kernel.code.len();
    let mut starts = vec![false; n + 1];
    starts[0] = true;
    for (i, instruction) in kernel.code.iter().enumerate() {
        if let Op::Control(Control::Branch(target)) = instruction.op {
            starts[target as usize] = true;
        }
        for &target in targets(kernel, instruction.op) {
            starts[target as usize] = true;
        }
        starts[i + 1] |= ends_block(instruction.op);
    }
    (0..n).filter(|&i| starts[i]).collect()
}

/// Blocks that the one which ends there may go to, in order.
fn successors(kernel: &Kernel, end: usize, block_of: &[u32]) -> Vec<u32> {
    let last = &kernel.code[end - 1];
    let mut next: Vec<u32> =
        targets(kernel, last.op).iter().map(|&t| block_of[t as usize]).collect();
    if let Op::Control(Control::Branch(target)) = last.op {
        next.push(block_of[target as usize]);
    }
    let falls_through = !ends_block(last.op) || last.guard != NONE;
    if falls_through && end < kernel.code.len() {
        next.push(block_of[end]);
    }
    next.sort_unstable();
    next.dedup();
    next
}

struct Sorter<'a> {
    successors: &'a [Vec<u32>],
    /// by block: number of the set that it was last in
    level_of: Vec<u32>,
    levels: u32,
    order: Vec<u32>,
}

impl Sorter<'_> {
    /// Appends the blocks of a set, which is entered at `head`. Edges back to it are left out; the
    /// strongly connected components that remain are the loops within.
    fn sort(&mut self, set: &[u32], head: u32, depth: u32) {
        self.levels += 1;
        let level = self.levels;
        set.iter().for_each(|&b| self.level_of[b as usize] = level);
        for mut component in self.components(set, head, level) {
            if component.len() == 1 {
                self.order.push(component[0]);
                continue;
            }
            component.sort_unstable();
            if depth == MAX_NESTING {
                self.order.extend(component);
                continue;
            }
            let inner = self.entry(set, &component, head);
            self.sort(&component, inner, depth + 1);
            // membership for the remaining components of this level
            set.iter().for_each(|&b| self.level_of[b as usize] = level);
        }
    }

    /// The block of a component that is entered from outside.
    fn entry(&self, set: &[u32], component: &[u32], head: u32) -> u32 {
        let is_inside = |b: &u32| component.binary_search(b).is_ok();
        if is_inside(&head) {
            return head;
        }
        let outside: Vec<u32> = set.iter().copied().filter(|b| !is_inside(b)).collect();
        let is_entered =
            |b: &&u32| outside.iter().any(|&a| self.successors[a as usize].contains(b));
        component.iter().find(is_entered).copied().unwrap_or(component[0])
    }

    /// Strongly connected components, what leads to others before them. Those that `head` does not
    /// reach follow. Tarjan's algorithm without recursion.
    fn components(&self, set: &[u32], head: u32, level: u32) -> Vec<Vec<u32>> {
        const UNSEEN: u32 = u32::MAX;
        let count = self.successors.len();
        let (mut index, mut low) = (vec![UNSEEN; count], vec![0u32; count]);
        let mut is_open = vec![false; count];
        let mut open: Vec<u32> = vec![];
        let mut next = 0;
        let (mut reached, mut rest): (Vec<Vec<u32>>, Vec<Vec<u32>>) = (vec![], vec![]);
        let others = set.iter().copied().filter(|&b| b != head);
        for root in std::iter::once(head).chain(others) {
            if index[root as usize] != UNSEEN {
                continue;
            }
            // block and the number of its successors that were looked at
            let mut path: Vec<(u32, usize)> = vec![(root, 0)];
            while let Some(&mut (block, ref mut looked_at)) = path.last_mut() {
                let b = block as usize;
                if *looked_at == 0 && index[b] == UNSEEN {
                    (index[b], low[b]) = (next, next);
                    next += 1;
                    open.push(block);
                    is_open[b] = true;
                }
                // highest first, so that the lowest comes first once reversed
                let left = self.successors[b].iter().rev().skip(*looked_at);
                let mut deeper = None;
                for &successor in left {
                    *looked_at += 1;
                    let s = successor as usize;
                    if successor == head || self.level_of[s] != level {
                        continue;
                    }
                    if index[s] == UNSEEN {
                        deeper = Some(successor);
                        break;
                    }
                    if is_open[s] {
                        low[b] = low[b].min(index[s]);
                    }
                }
                if let Some(successor) = deeper {
                    path.push((successor, 0));
                    continue;
                }
                if low[b] == index[b] {
                    let first = open.iter().rposition(|&o| o == block).unwrap_or(0);
                    let mut component = open.split_off(first);
                    component.reverse();
                    component.iter().for_each(|&o| is_open[o as usize] = false);
                    if root == head { &mut reached } else { &mut rest }.push(component);
                }
                path.pop();
                if let Some(&mut (above, _)) = path.last_mut() {
                    let above = above as usize;
                    low[above] = low[above].min(low[b]);
                }
            }
        }
        reached.reverse();
        reached.extend(rest);
        reached
    }
}
