//! Numbers in JSON that may be NaN or infinite, as the losses of a run that diverged are. JSON has no such numbers;
//! they are written as text. For `#[serde(with = "crate::number")]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Written {
    Number(f64),
    Text(String),
}

impl Written {
    fn of(value: f64) -> Self {
        if value.is_finite() { Written::Number(value) } else { Written::Text(value.to_string()) }
    }

    fn value(self) -> Result<f64, String> {
        match self {
            Written::Number(value) => Ok(value),
            Written::Text(text) => match text.parse::<f64>() {
                Ok(value) if !value.is_finite() => Ok(value),
                _ => Err(format!("`{text}`, expected a number, or `NaN`, `inf` or `-inf` as text")),
            },
        }
    }
}

/// What holds such numbers.
pub(crate) trait Numbers: Sized {
    type Written: Serialize + for<'de> Deserialize<'de>;
    fn written(&self) -> Self::Written;
    fn read(written: Self::Written) -> Result<Self, String>;
}

impl Numbers for f64 {
    type Written = Written;
    fn written(&self) -> Written {
        Written::of(*self)
    }
    fn read(written: Written) -> Result<Self, String> {
        written.value()
    }
}

impl Numbers for Option<f64> {
    type Written = Option<Written>;
    fn written(&self) -> Option<Written> {
        self.map(Written::of)
    }
    fn read(written: Option<Written>) -> Result<Self, String> {
        written.map(Written::value).transpose()
    }
}

impl Numbers for Vec<f64> {
    type Written = Vec<Written>;
    fn written(&self) -> Vec<Written> {
        self.iter().copied().map(Written::of).collect()
    }
    fn read(written: Vec<Written>) -> Result<Self, String> {
        written.into_iter().map(Written::value).collect()
    }
}

pub(crate) fn serialize<N: Numbers, S: Serializer>(
    numbers: &N,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    numbers.written().serialize(serializer)
}

pub(crate) fn deserialize<'de, N: Numbers, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<N, D::Error> {
    N::read(N::Written::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct All {
        #[serde(with = "crate::number")]
        one: f64,
        #[serde(with = "crate::number")]
        some: Option<f64>,
        #[serde(with = "crate::number")]
        many: Vec<f64>,
    }

    #[test]
    fn numbers_that_json_does_not_have_come_back() {
        for x in [1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324] {
            let all = All { one: x, some: Some(x), many: vec![0.5, x] };
            let back: All = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
            let same = |y: f64| y.to_bits() == x.to_bits();
            assert!(same(back.one) && same(back.some.unwrap()) && same(back.many[1]), "{x}");
        }
        let none = All { one: 0.0, some: None, many: vec![] };
        let text = serde_json::to_string(&none).unwrap();
        assert_eq!(text, r#"{"one":0.0,"some":null,"many":[]}"#);
        assert!(serde_json::from_str::<All>(&text).unwrap().some.is_none());
        for bad in
            [r#"{"one":"1.5","some":null,"many":[]}"#, r#"{"one":"x","some":null,"many":[]}"#]
        {
            assert!(serde_json::from_str::<All>(bad).is_err(), "{bad}");
        }
    }
}
