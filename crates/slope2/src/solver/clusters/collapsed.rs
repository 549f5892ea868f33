//! Clusters as single columns.

use super::split::Piece;
use crate::solver::gram::Gram;
use crate::solver::source::Source;

impl Gram {
    /// Brings in the columns of all pieces and returns the place of each. Single columns that no piece has stay as long as
    /// the set is at most half as large again as what is wanted.
    pub(super) fn arrange(&mut self, source: &Source<'_>, pieces: &[Piece]) -> Vec<usize> {
        let mut of_feature = vec![usize::MAX; source.n_features()];
        for (a, members) in self.members().iter().enumerate() {
            members.iter().for_each(|(j, _)| of_feature[*j] = a);
        }
        let found = |piece: &Piece| {
            let (j, sign) = *piece.members.first()?;
            let a = Some(of_feature[j]).filter(|a| *a != usize::MAX)?;
            let here = &self.members()[a];
            let flip = if here.first()?.1 == sign { 1.0 } else { -1.0 };
            let same = here.len() == piece.members.len()
                && here.iter().zip(&piece.members).all(|(h, p)| h.0 == p.0 && h.1 == flip * p.1);
            same.then_some((a, flip))
        };
        let places: Vec<Option<(usize, f64)>> = pieces.iter().map(found).collect();
        let mut stays = vec![false; self.len()];
        places.iter().flatten().for_each(|(a, _)| stays[*a] = true);
        let mut is_wanted = vec![false; source.n_features()];
        pieces.iter().flat_map(|p| &p.members).for_each(|(j, _)| is_wanted[*j] = true);
        let mut room = pieces.len() / 2;
        for (a, members) in self.members().iter().enumerate() {
            if !stays[a] && 0 < room && members.len() == 1 && !is_wanted[members[0].0] {
                stays[a] = true;
                room -= 1;
            }
        }
        let mut moved = vec![0; self.len()];
        let mut kept = 0;
        for (a, stays) in stays.iter().enumerate() {
            moved[a] = kept;
            kept += usize::from(*stays);
        }
        self.retain(&stays);
        let mut slots = Vec::with_capacity(pieces.len());
        let mut new = Vec::new();
        for (piece, place) in pieces.iter().zip(places) {
            match place {
                Some((a, flip)) => {
                    if flip < 0.0 {
                        self.negate(moved[a]);
                    }
                    slots.push(moved[a]);
                }
                None => {
                    slots.push(kept + new.len());
                    new.push(piece.members.clone());
                }
            }
        }
        self.append(source, new);
        slots
    }
}
