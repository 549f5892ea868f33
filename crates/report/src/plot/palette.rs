//! Colours, dashes and marker shapes, one of each per series.

/// The palette of Okabe and Ito without its yellow, which is too pale on white; ordered so that
/// neighbours differ in lightness as well as in hue.
pub(crate) const COLORS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00", "#7f5539"];

/// Seven dashes against eight colours: the pair repeats after 56 series only.
const DASHES: [&str; 7] = ["", "7 3", "2 2.5", "9 3 2 3", "4 2", "12 4", "9 3 2 3 2 3"];

/// How one series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) color: &'static str,
    pub(crate) dash: &'static str,
    pub(crate) shape: Shape,
}

/// Shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Up,
    Diamond,
    Down,
    Plus,
    Cross,
}

const SHAPES: [Shape; 7] = [
    Shape::Circle,
    Shape::Square,
    Shape::Up,
    Shape::Diamond,
    Shape::Down,
    Shape::Plus,
    Shape::Cross,
];

/// The look of series number `idx`.
pub(crate) fn look(idx: usize) -> Look {
    Look {
        color: COLORS[idx % COLORS.len()],
        dash: DASHES[idx % DASHES.len()],
        shape: SHAPES[idx % SHAPES.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_series_all_look_different() {
        for a in 0..50 {
            for b in 0..a {
                assert_ne!((look(a).color, look(a).dash), (look(b).color, look(b).dash));
            }
        }
    }
}
