//! The upper hull of points in the plane.

use super::front::FrontPoint;

/// The vertices of the upper hull of points with strictly rising weights. A point that stands above the line between its
/// neighbors by no more than `rounding` of their value is no vertex.
pub(super) fn upper(points: impl Iterator<Item = FrontPoint>, rounding: f64) -> Vec<FrontPoint> {
    let mut hull: Vec<FrontPoint> = Vec::new();
    for point in points {
        while let [.., a, b] = hull[..] {
            if is_vertex(a, b, point, rounding) {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

fn is_vertex(a: FrontPoint, b: FrontPoint, c: FrontPoint, rounding: f64) -> bool {
    let whole = (c.weight - a.weight) as f64;
    let part = (b.weight - a.weight) as f64 / whole;
    rounding * c.value < (b.value - a.value) - part * (c.value - a.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_and_below_it_are_no_vertices() {
        let points = [(0, 0.0), (1, 3.0), (2, 4.0), (3, 5.0), (4, 5.5), (6, 8.0), (9, 8.5)];
        let points = points.map(|(weight, value)| FrontPoint { weight, value });
        let hull = upper(points.into_iter(), 1e-15);
        assert_eq!(hull.iter().map(|point| point.weight).collect::<Vec<_>>(), [0, 1, 6, 9]);
    }
}
