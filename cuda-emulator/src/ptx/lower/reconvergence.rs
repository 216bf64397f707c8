//! The order in which diverged lanes of a warp run: which of them waits for which.

use crate::instructions::{Op, control::Control};
use crate::ptx::kernel::{Kernel, NONE};

/// Rank of an aligned barrier, on top of its place: lanes that reach one let the rest of their warp
/// run first, as sm_70 and later count threads and not warps there. A barrier at the head of a loop
/// would otherwise be met by some lanes while others still finish the loop's body.
pub const AT_BARRIER: u32 = 1 << 31;

/// Blocks in an order where loops are contiguous and every join comes after all
/// that leads to it; running the lowest rank first then reconverges at the
/// immediate post-dominator.
pub(super) fn ranks(k: &Kernel) -> Vec<u32> {
    let n = k.code.len();
    let mut leads = vec![false; n + 1];
    leads[0] = true;
    for (i, x) in k.code.iter().enumerate() {
        match x.op {
            Op::Control(Control::Branch(t)) => {
                leads[t as usize] = true;
                leads[i + 1] = true;
            }
            Op::Control(Control::BranchTable(t)) => {
                for &y in &k.branch_tables[t as usize] {
                    leads[y as usize] = true;
                }
                leads[i + 1] = true;
            }
            Op::Control(Control::Exit | Control::Trap) => leads[i + 1] = true,
            _ => {}
        }
    }
    let mut start = vec![];
    let mut of = vec![0u32; n];
    for i in 0..n {
        if leads[i] {
            start.push(i);
        }
        of[i] = start.len() as u32 - 1;
    }
    let count = start.len();
    let mut successors: Vec<Vec<u32>> = vec![vec![]; count];
    for b in 0..count {
        let end = if b + 1 < count { start[b + 1] } else { n };
        let x = &k.code[end - 1];
        let mut fall = true;
        match x.op {
            Op::Control(Control::Branch(t)) => {
                successors[b].push(of[t as usize]);
                fall = x.guard != NONE;
            }
            Op::Control(Control::BranchTable(t)) => {
                for &y in &k.branch_tables[t as usize] {
                    successors[b].push(of[y as usize]);
                }
                fall = x.guard != NONE;
            }
            Op::Control(Control::Exit | Control::Trap) => fall = x.guard != NONE,
            _ => {}
        }
        if fall && end < n {
            successors[b].push(of[end]);
        }
        successors[b].sort();
        successors[b].dedup();
    }
    let mut order = vec![];
    let mut member = vec![0u32; count];
    let all: Vec<u32> = (0..count as u32).collect();
    let mut stamp = 0;
    sort_blocks(&all, 0, &successors, &mut member, &mut stamp, &mut order);
    let mut ranks = vec![0u32; n];
    let mut c = 0;
    for b in order {
        let b = b as usize;
        let end = if b + 1 < count { start[b + 1] } else { n };
        for p in ranks[start[b]..end].iter_mut() {
            *p = c;
            c += 1;
        }
    }
    ranks
}

fn sort_blocks(
    set: &[u32],
    head: u32,
    successors: &[Vec<u32>],
    member: &mut Vec<u32>,
    stamp: &mut u32,
    out: &mut Vec<u32>,
) {
    *stamp += 1;
    let g = *stamp;
    for &b in set {
        member[b as usize] = g;
    }
    // Tarjan, iterative; edges into `head` are cut
    let m = successors.len();
    let mut index = vec![u32::MAX; m];
    let mut low = vec![0u32; m];
    let mut on = vec![false; m];
    let mut st: Vec<u32> = vec![];
    let mut next = 0u32;
    let mut components: Vec<Vec<u32>> = vec![];
    let mut roots = vec![head];
    roots.extend(set.iter().copied().filter(|&b| b != head));
    // roots are visited last-first in the reversed result, so start with the head only and
    // let unreachable blocks follow
    let mut tail: Vec<Vec<u32>> = vec![];
    for (ri, &r) in roots.iter().enumerate() {
        if index[r as usize] != u32::MAX {
            continue;
        }
        let before = components.len();
        let mut call: Vec<(u32, usize)> = vec![(r, 0)];
        while let Some(&mut (v, ref mut ci)) = call.last_mut() {
            let vu = v as usize;
            if *ci == 0 && index[vu] == u32::MAX {
                index[vu] = next;
                low[vu] = next;
                next += 1;
                st.push(v);
                on[vu] = true;
            }
            let ss = &successors[vu];
            let mut pushed = false;
            while *ci < ss.len() {
                // highest first, so that the lowest comes first once reversed
                let w = ss[ss.len() - 1 - *ci];
                *ci += 1;
                let wu = w as usize;
                if w == head || member[wu] != g {
                    continue;
                }
                if index[wu] == u32::MAX {
                    call.push((w, 0));
                    pushed = true;
                    break;
                } else if on[wu] {
                    low[vu] = low[vu].min(index[wu]);
                }
            }
            if pushed {
                continue;
            }
            if low[vu] == index[vu] {
                let mut c = vec![];
                loop {
                    let w = st.pop().unwrap();
                    on[w as usize] = false;
                    c.push(w);
                    if w == v {
                        break;
                    }
                }
                components.push(c);
            }
            call.pop();
            if let Some(&mut (pv, _)) = call.last_mut() {
                low[pv as usize] = low[pv as usize].min(low[vu]);
            }
        }
        if ri > 0 {
            tail.extend(components.drain(before..));
        }
    }
    components.reverse();
    components.extend(tail);
    for mut c in components {
        if c.len() == 1 {
            out.push(c[0]);
            continue;
        }
        c.sort();
        // header: entered from outside
        let mut mark = std::collections::HashSet::new();
        for &b in &c {
            mark.insert(b);
        }
        let mut h = c[0];
        'o: for &b in &c {
            for &a in set {
                if !mark.contains(&a) && successors[a as usize].contains(&b) {
                    h = b;
                    break 'o;
                }
            }
        }
        if c.contains(&head) {
            h = head;
        }
        sort_blocks(&c, h, successors, member, stamp, out);
        // restore membership for the remaining components of this level
        for &b in set {
            member[b as usize] = g;
        }
    }
}
