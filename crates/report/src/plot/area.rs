//! The rectangle between the axes, and what of a drawing lies inside it.

use crate::plot::axis::Axis;

type Point = (f64, f64);

/// The plotting area in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Pixel of a position between 0 (left) and 1 (right).
    pub(crate) fn x(&self, at: f64) -> f64 {
        self.left + at * self.width
    }

    /// Pixel of a position between 0 (bottom) and 1 (top).
    pub(crate) fn y(&self, at: f64) -> f64 {
        self.bottom() - at * self.height
    }

    /// Pixel of a data point; none if it has no place on the axes.
    pub(crate) fn pixel(&self, x: &Axis, y: &Axis, point: Point) -> Option<Point> {
        // Far outside it no longer matters where, but infinity would spoil the clipping.
        let near = |at: f64| at.clamp(-1e6, 1e6);
        Some((self.x(near(x.position(point.0)?)), self.y(near(y.position(point.1)?))))
    }

    /// Whether a pixel lies inside, with a hundredth of a pixel to spare for rounding.
    pub(crate) fn contains(&self, (x, y): Point) -> bool {
        let e = 0.01;
        (self.left - e..=self.right() + e).contains(&x)
            && (self.top - e..=self.bottom() + e).contains(&y)
    }

    /// The parts of a polyline that lie inside.
    pub(crate) fn clip_line(&self, points: &[Point]) -> Vec<Vec<Point>> {
        let mut parts: Vec<Vec<Point>> = Vec::new();
        let mut is_open = false;
        for pair in points.windows(2) {
            let Some((from, to)) = self.clip_segment(pair[0], pair[1]) else {
                is_open = false;
                continue;
            };
            match parts.last_mut() {
                Some(part) if is_open => part.push(to),
                _ => parts.push(vec![from, to]),
            }
            is_open = to == pair[1];
        }
        parts
    }

    /// Liang and Barsky: the part of a segment that is inside all four edges.
    fn clip_segment(&self, a: Point, b: Point) -> Option<(Point, Point)> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (p, q) in [
            (-dx, a.0 - self.left),
            (dx, self.right() - a.0),
            (-dy, a.1 - self.top),
            (dy, self.bottom() - a.1),
        ] {
            if p == 0.0 {
                if q < 0.0 {
                    return None;
                }
            } else if p < 0.0 {
                enter = enter.max(q / p);
            } else {
                leave = leave.min(q / p);
            }
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        let from = if enter == 0.0 { a } else { at(enter) };
        let to = if leave < 1.0 { at(leave) } else { b };
        (enter <= leave).then_some((from, to))
    }

    /// Sutherland and Hodgman: the part of a polygon that is inside.
    pub(crate) fn clip_polygon(&self, points: &[Point]) -> Vec<Point> {
        let (right, bottom) = (self.right(), self.bottom());
        let cut = |points: &[Point], depth: &dyn Fn(Point) -> f64| -> Vec<Point> {
            let mut out = Vec::new();
            for (idx, &b) in points.iter().enumerate() {
                let a = points[(idx + points.len() - 1) % points.len()];
                let (da, db) = (depth(a), depth(b));
                if (da < 0.0) != (db < 0.0) {
                    let t = da / (da - db);
                    out.push((a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)));
                }
                if 0.0 <= db {
                    out.push(b);
                }
            }
            out
        };
        let points = cut(points, &|p| p.0 - self.left);
        let points = cut(&points, &|p| right - p.0);
        let points = cut(&points, &|p| p.1 - self.top);
        cut(&points, &|p| bottom - p.1)
    }
}

/// Leaves out points of a long line that could not be seen: of neighbours in one column of pixels
/// only the first, the lowest, the highest and the last stay.
pub(crate) fn thin_out(points: &[Point]) -> Vec<Point> {
    if points.len() < 2000 {
        return points.to_vec();
    }
    let mut out = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor().total_cmp(&b.0.floor()).is_eq()) {
        let by_y = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
        let low = column.iter().enumerate().min_by(by_y);
        let high = column.iter().enumerate().max_by(by_y);
        let mut keep = vec![0, column.len() - 1];
        keep.extend([low, high].into_iter().flatten().map(|(idx, _)| idx));
        keep.sort_unstable();
        keep.dedup();
        out.extend(keep.into_iter().map(|idx| column[idx]));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AREA: Area = Area { left: 10.0, top: 20.0, width: 100.0, height: 50.0 };

    fn point() -> impl Strategy<Value = Point> {
        (-200.0..300.0, -200.0..300.0)
    }

    #[test]
    fn a_line_inside_is_kept_as_it_is() {
        let line = [(20.0, 30.0), (30.0, 40.0), (110.0, 70.0)];
        assert_eq!(AREA.clip_line(&line), [line.to_vec()]);
        assert_eq!(AREA.clip_polygon(&line).len(), 3);
    }

    #[test]
    fn a_line_that_leaves_and_comes_back_has_two_parts() {
        let line = [(20.0, 30.0), (20.0, 200.0), (40.0, 200.0), (40.0, 30.0)];
        let parts = AREA.clip_line(&line);
        assert_eq!(parts, [vec![(20.0, 30.0), (20.0, 70.0)], vec![(40.0, 70.0), (40.0, 30.0)]]);
    }

    #[test]
    fn a_long_line_keeps_its_extremes() {
        let n = 100_000;
        let points: Vec<_> = (0..n)
            .map(|i| (f64::from(i) * 0.005, if i == 77_777 { 900.0 } else { f64::from(i % 7) }))
            .collect();
        let thin = thin_out(&points);
        assert!(thin.len() <= 4 * 501, "{}", thin.len());
        assert!(thin.contains(&points[77_777]));
        assert_eq!((thin.first(), thin.last()), (points.first(), points.last()));
    }

    proptest! {
        #[test]
        fn nothing_sticks_out_of_the_area(points in proptest::collection::vec(point(), 0..12)) {
            prop_assert!(AREA.clip_line(&points).iter().flatten().all(|&p| AREA.contains(p)));
            prop_assert!(AREA.clip_polygon(&points).iter().all(|&p| AREA.contains(p)));
        }

        #[test]
        fn every_point_inside_stays_on_the_clipped_line(points in proptest::collection::vec(point(), 2..12)) {
            let parts = AREA.clip_line(&points);
            let is_inside = |p: &&Point| (10.0..=110.0).contains(&p.0) && (20.0..=70.0).contains(&p.1);
            for p in points.iter().filter(is_inside) {
                prop_assert!(parts.iter().flatten().any(|q| (q.0 - p.0).abs() + (q.1 - p.1).abs() < 1e-6));
            }
        }
    }
}
