//! The sets behind the points of a front, as chains that share their tails.

use crate::error::{Error, Result};

/// More would not fit in the memory of a small machine.
const MOST: usize = 1 << 27;
/// Below this, collecting what nobody needs is not worth its time.
const FEW: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
struct Link {
    item: u32,
    rest: u32,
}

/// Chains of items. A chain is known by its head; head 0 is the empty one.
#[derive(Clone, Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    n_alive: usize,
}

impl Links {
    pub(super) const EMPTY: u32 = 0;

    /// No chains, for items with indices below `n_items`.
    pub(super) fn new(n_items: usize) -> Result<Links> {
        match u32::try_from(n_items) {
            Ok(_) => Ok(Links { links: vec![Link { item: 0, rest: 0 }], n_alive: 1 }),
            Err(_) => Err(Error::FrontTooLarge { what: "items", limit: u32::MAX as usize }),
        }
    }

    /// The chain that begins with `item` and goes on with `rest`.
    #[allow(clippy::cast_possible_truncation, reason = "`new` and `reserve` keep both in range")]
    pub(super) fn push(&mut self, item: usize, rest: u32) -> u32 {
        self.links.push(Link { item: item as u32, rest });
        (self.links.len() - 1) as u32
    }

    /// Makes place for `more` links, and forgets those that belong to no chain of `heads`, which may be renamed.
    pub(super) fn reserve(&mut self, more: usize, heads: &mut [u32]) -> Result<()> {
        if 2 * self.n_alive + FEW < self.links.len() || MOST - more.min(MOST) < self.links.len() {
            self.collect(heads);
        }
        if MOST - more.min(MOST) < self.links.len() {
            return Err(Error::FrontTooLarge { what: "links between its points", limit: MOST });
        }
        Ok(())
    }

    /// A link stands behind all of its rest, so one pass back finds the chains and one pass forth moves them.
    #[allow(clippy::cast_possible_truncation, reason = "no number grows")]
    fn collect(&mut self, heads: &mut [u32]) {
        let mut names = vec![u32::MAX; self.links.len()];
        names[0] = 0;
        for head in &*heads {
            names[*head as usize] = 0;
        }
        for at in (1..self.links.len()).rev() {
            if names[at] == 0 {
                names[self.links[at].rest as usize] = 0;
            }
        }
        let mut n_alive = 0;
        for at in 0..self.links.len() {
            if names[at] == 0 {
                let Link { item, rest } = self.links[at];
                self.links[n_alive] = Link { item, rest: names[rest as usize] };
                names[at] = n_alive as u32;
                n_alive += 1;
            }
        }
        self.links.truncate(n_alive);
        self.n_alive = n_alive;
        for head in heads {
            *head = names[*head as usize];
        }
    }

    /// The items of a chain, from its head.
    pub(super) fn items(&self, mut head: u32) -> Vec<usize> {
        let mut items = Vec::new();
        while head != Links::EMPTY {
            let Link { item, rest } = self.links[head as usize];
            items.push(item as usize);
            head = rest;
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collecting_keeps_the_chains_that_are_named_and_no_others() {
        let mut links = Links::new(10).unwrap();
        let a = links.push(9, Links::EMPTY);
        let b = links.push(8, Links::EMPTY);
        let c = links.push(7, a);
        let d = links.push(6, b);
        let e = links.push(5, c);
        let mut heads = [e, Links::EMPTY, a, e];
        links.collect(&mut heads);
        let items: Vec<_> = heads.iter().map(|head| links.items(*head)).collect();
        assert_eq!(items, [vec![5, 7, 9], vec![], vec![9], vec![5, 7, 9]]);
        assert_eq!(links.links.len(), 4, "{d} and its rest are gone");
    }

    #[test]
    fn more_links_than_fit_are_refused() {
        let mut links = Links::new(1).unwrap();
        links.reserve(MOST - 1, &mut []).unwrap();
        assert!(matches!(links.reserve(MOST, &mut []), Err(Error::FrontTooLarge { .. })));
    }
}
