//! Keys of a row, whatever the strides.

use super::GROUP;
use crate::cpu::simd::{Isa, KeyLane, Keyed, Of, Ordered, Rows, Vector};
use crate::ops::rank::Order;
use crate::{Element, MatRef};

/// Neighbouring columns of the input, as keys whose order is that of the sort.
pub(super) struct Source<'a, T> {
    u: MatRef<'a, T>,
    order: Order,
    first: usize,
    /// Columns that exist.
    width: usize,
    /// Their rows, if they can be read as they lie.
    plain: Option<Rows<'a, T>>,
}

impl<'a, T: Element> Source<'a, T> {
    /// Up to [`GROUP`] columns.
    #[inline(always)]
    pub(super) fn new(u: MatRef<'a, T>, order: Order, (first, width): (usize, usize)) -> Self {
        let layout = u.layout();
        let plain = (layout.col_stride() == 1 && width == GROUP).then(|| {
            let rows = Rows::new(u.into_data(), layout.shape(), layout.row_stride());
            rows.part(first, width)
        });
        Self { u, order, first, width, plain }
    }

    /// The elements of row `i`, copied if need be. What stands in place of columns that do not exist means
    /// nothing.
    #[inline(always)]
    pub(super) fn row<'b>(&'b self, i: usize, copy: &'b mut [T; GROUP]) -> &'b [T] {
        match &self.plain {
            Some(rows) => rows.row(i),
            None => {
                let (data, layout) = (self.u.into_data(), self.u.layout());
                let first = i * layout.row_stride() + self.first * layout.col_stride();
                for (l, place) in copy[..self.width].iter_mut().enumerate() {
                    *place = data[first + l * layout.col_stride()];
                }
                copy
            }
        }
    }

    /// Calls `f` with the number and the keys of each row. The order of all keys but the least one, which
    /// no element has, is turned around.
    #[inline(always)]
    pub(super) fn for_each_row<I: Isa, K: KeyLane>(
        &self,
        isa: I,
        mut f: impl FnMut(usize, Of<I, K>),
    ) where
        T: Keyed<K>,
    {
        let zero = Of::<I, K>::splat(isa, K::default());
        let mut copy = [T::default(); GROUP];
        for i in 0..self.u.rows() {
            let keys = <T as Keyed<K>>::keys(isa, self.row(i, &mut copy));
            let keys = match self.order {
                Order::Ascending => keys,
                Order::Descending => zero.sub(keys),
            };
            f(i, keys);
        }
    }

    /// The key of one element in that order.
    #[inline(always)]
    pub(super) fn key<K: KeyLane>(&self, value: T) -> K
    where
        T: Keyed<K>,
    {
        let key: K = value.to_key();
        match self.order {
            Order::Ascending => key,
            Order::Descending => key.negated(),
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.u.rows()
    }
}
