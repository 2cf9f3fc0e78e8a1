//! Tests of cron expressions.

use super::*;

#[test]
fn the_five_fields_of_crontab_become_the_six_of_aws() {
    for (crontab, aws) in [
        ("30 2 * * *", "30 2 * * ? *"),
        ("30 2 * * 1-5", "30 2 ? * MON,TUE,WED,THU,FRI *"),
        ("0 9 * * 5-7", "0 9 ? * SUN,FRI,SAT *"),
        ("0 9 * * fri-sun", "0 9 ? * SUN,FRI,SAT *"),
        ("0 9 * * 0", "0 9 ? * SUN *"),
        ("0 9 * * 0-0", "0 9 ? * SUN *"),
        ("0 9 * * */2", "0 9 ? * SUN,TUE,THU,SAT *"),
        ("0 9 * * 0-6", "0 9 ? * * *"),
        ("*/15 8-18/2 1,15 jan-mar *", "*/15 8-18/2 1,15 JAN-MAR ? *"),
        ("0 18 * * 5L", "0 18 ? * FRIL *"),
        ("0 18 * * MON#2", "0 18 ? * MON#2 *"),
        ("0 18 L * *", "0 18 L * ? *"),
        ("0 18 15W * ?", "0 18 15W * ? *"),
        ("@daily", "0 0 * * ? *"),
        ("cron(0 12 ? * 6L 2027-2028)", "0 12 ? * 6L 2027-2028"),
    ] {
        assert_eq!(Cron::parse(crontab).unwrap().fields(), aws, "{crontab}");
    }
    // The fields that are written can be read again, and mean the same.
    for crontab in ["30 2 * * 1-5", "0 18 * * 5L", "0 18 * * 1#2", "0 9 * * 0-6"] {
        let cron = Cron::parse(crontab).unwrap();
        assert_eq!(Cron::parse(cron.fields()).unwrap(), cron, "{crontab}");
    }
}

#[test]
fn what_cannot_be_expressed_is_refused_with_the_reason() {
    for (cron, why) in [
        ("0 0 13 * 5", "either"),
        ("0 0 13 * FRI *", "both given"),
        ("0 0 ? * ? *", "both are `?`"),
        ("60 * * * *", "minute \"60\" must be 0 to 59"),
        ("0 24 * * *", "hour \"24\""),
        ("0 0 0 * *", "day of month \"0\""),
        ("0 0 * 13 *", "month \"13\" must be 1 to 12, or JAN to DEC"),
        ("0 0 ? * 0 *", "day of week \"0\" must be 1 to 7"),
        ("0 0 ? * MON/2 *", "step"),
        ("0 0 L-3 * *", "stands alone"),
        ("0 0 LW * *", "stands alone"),
        ("0 0 L,15 * *", "stands alone"),
        ("0 0 ? * 3#1,6#3 *", "no second day"),
        ("0 0 ? * 3#6 *", "1 to 5"),
        ("0 22-2 * * *", "ends before it begins"),
        ("*/0 * * * *", "step"),
        ("0 0 1 1 ? 1969", "year"),
        ("0 0 * *", "not 4"),
        ("", "not 0"),
        ("@often", "no cron expression is named"),
        ("0 0 * * L", "different days"),
        ("+5 0 * * *", "minute"),
    ] {
        let refused = Cron::parse(cron).unwrap_err();
        assert!(refused.to_string().contains(why), "{cron}: {refused}");
        assert_eq!(refused.field(), Some("cron"));
    }
}
