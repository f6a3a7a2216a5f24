//! The proleptic Gregorian calendar over the whole range of [`UnixMs`], which is wider than any
//! calendar library's: a hostile time must format, not fail.

use super::point::UnixMs;

pub(super) const MS_PER_DAY: i64 = 86_400_000;

/// A point in UTC, taken apart.
pub(super) struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub ms: i64,
}

impl Civil {
    pub fn of(at: UnixMs) -> Self {
        let (days, in_day) = (at.0.div_euclid(MS_PER_DAY), at.0.rem_euclid(MS_PER_DAY));
        // Years start in March, so that the leap day is the last of its year; eras have 400 years.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: in_day / 3_600_000,
            minute: in_day / 60_000 % 60,
            second: in_day / 1_000 % 60,
            ms: in_day % 1_000,
        }
    }

    pub fn year_text(&self) -> String {
        if (0..=9_999).contains(&self.year) {
            format!("{:04}", self.year)
        } else {
            format!("{:+07}", self.year)
        }
    }
}

/// Days from 1970-01-01 to a date.
pub(super) fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn taking_apart_and_putting_together_are_inverse(ms in any::<i64>()) {
            let t = Civil::of(UnixMs(ms));
            prop_assert_eq!(days_to(t.year, t.month, t.day), ms.div_euclid(MS_PER_DAY));
            let in_day = ((t.hour * 60 + t.minute) * 60 + t.second) * 1_000 + t.ms;
            prop_assert_eq!(in_day, ms.rem_euclid(MS_PER_DAY));
        }
    }
}
