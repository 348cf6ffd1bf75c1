/// Measured values of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn of(values: Vec<f64>) -> Self {
        Self(values)
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value in the middle; none of nothing.
    pub(crate) fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            length if length % 2 == 1 => Some(sorted[middle]),
            _ => Some(sorted[middle - 1].midpoint(sorted[middle])),
        }
    }

    /// The smallest and the largest; none of nothing.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        Some((*sorted.first()?, *sorted.last()?))
    }

    /// The value below which this part of all lies; none of nothing.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let sorted = self.sorted();
        let last = sorted.len().checked_sub(1)?;
        Some(sorted[(last as f64 * part).round() as usize])
    }

    /// The median, for a figure: NaN of nothing, which meets no goal.
    pub(crate) fn p50(&self) -> f64 {
        self.median().unwrap_or(f64::NAN)
    }

    /// The 99th percentile; NaN of nothing.
    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99).unwrap_or(f64::NAN)
    }

    /// The largest; NaN of nothing.
    pub(crate) fn most(&self) -> f64 {
        self.range().map_or(f64::NAN, |(_, most)| most)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_none() {
        let of = |values: &[f64]| Samples(values.to_vec());
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(of(&[]).median(), None);
        assert_eq!(of(&[2.0, 9.0, 1.0]).range(), Some((1.0, 9.0)));
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(of(&hundred).quantile(0.99), Some(99.0));
        assert_eq!(of(&[]).quantile(0.5), None);
    }
}
