//! What elements mean, maker by maker.

mod support;

use eva_dts::{Amount, Both, Oddity, Report, parse};
use support::capture;

fn report(lines: &[&str]) -> Report {
    parse(&capture(lines))[0].report()
}

fn amount(count: u64, value: u64) -> Amount {
    Amount { count: Some(count), value: Some(value) }
}

#[test]
fn totals_come_value_first_and_products_count_first() {
    let report = report(&[
        "VA1*12550*97*200*2*30*3*10*1*4*40*2*20",
        "PA1*1*150",
        "PA2*97*12550*2*200*3*30*1*10*4*40*2*20",
    ]);
    let both = |init, reset| Both { since_init: init, since_reset: reset };
    for (vends, discounts, surcharges) in [
        (report.totals.vends, report.totals.discounts, report.totals.surcharges),
        (report.products[0].vends, report.products[0].discounts, report.products[0].surcharges),
    ] {
        assert_eq!(vends, both(amount(97, 12_550), amount(2, 200)));
        assert_eq!(discounts, both(amount(3, 30), amount(1, 10)));
        assert_eq!(surcharges, both(amount(4, 40), amount(2, 20)));
    }
}

#[test]
fn decimals_are_two_unless_the_file_says_otherwise_wherever_it_says_so() {
    assert_eq!(report(&["VA1*500*5"]).currency.decimals, 2);
    let swiss = report(&["VA1*500*5", "ID4*1*1756*CHF"]);
    assert_eq!(swiss.currency.money(500).to_string(), "50.0");
    assert_eq!(swiss.currency.iso_numeric(), Some(756));
    assert_eq!(report(&["ID4*0*039*050"]).currency.decimals, 0);
    assert_eq!(report(&["ID4*2*0001*1"]).currency.iso_numeric(), None, "a telephone code");
    let odd = report(&["ID4*7*1978*EUR"]);
    assert_eq!((odd.currency.decimals, odd.warnings[0].oddity), (2, Oddity::BadDecimals));
}

#[test]
fn unset_counters_are_unknown_and_zeros_in_front_do_not_count() {
    let report = report(&["PA1*01*250", "PA7*01*TA*0*250*0*4294967295*00000003*00000750"]);
    let vends = report.products[0].payments[0].vends;
    assert_eq!(vends.since_init, Amount { count: Some(0), value: None });
    assert_eq!(vends.since_reset, amount(3, 750));
}

#[test]
fn selections_are_text() {
    let report = report(&["PA1*010*75", "PA2*1*75", "PA1*10*80", "PA2*2*160", "PA1*A1*90"]);
    let selections: Vec<_> = report.products.iter().map(|product| &*product.selection).collect();
    assert_eq!(selections, ["010", "10", "A1"]);
    assert_eq!(report.products[1].vends.since_init, amount(2, 160));
}

#[test]
fn payments_go_to_the_product_that_they_name_wherever_they_stand() {
    let report = report(&[
        "PA7*2*DA*1*200*5*1000*0*0",
        "PA1*1*100",
        "PA7*1*CA*0*100*3*300*0*0",
        "PA1*2*200",
        "PA7*2*CA*0*200*4*800*0*0",
        "PA7*9*CA*0*50*1*50*0*0",
        "PA7*1*DA*1*100*6*600*0*0",
        "PA7*9*DA*1*50*2*100*0*0",
    ]);
    let counts: Vec<Vec<_>> = report
        .products
        .iter()
        .map(|product| product.payments.iter().map(|one| one.vends.since_init.count.unwrap()).collect())
        .collect();
    assert_eq!(counts, [vec![3, 6], vec![4, 5], vec![1, 2]]);
    assert_eq!(report.products[2].selection, "9", "a product that is not listed");
    assert_eq!(report.warnings, []);
}

#[test]
fn price_lists_are_counted_by_product() {
    let report = report(&["PA1*2*100", "PA2*70*0*9*0", "LA1*0*2*1*9*70", "LA1*1*2*100*0*0"]);
    let lists = &report.products[0].price_lists;
    assert_eq!(
        (&*lists[0].list, lists[0].vends.since_init, lists[0].vends.since_reset),
        ("0", Some(70), Some(9))
    );
    assert_eq!(lists[1].price, Some(100));
}

#[test]
fn a_product_whose_head_was_lost_is_not_taken_for_the_one_before() {
    let report =
        report(&["PA1*1*100", "PA2*10*1000", "PA3*1*100", "PA2*99*9900", "PA1*3*100", "PA2*30*3000"]);
    let counts: Vec<_> =
        report.products.iter().map(|product| product.vends.since_init.count.unwrap()).collect();
    assert_eq!(counts, [10, 30]);
    assert_eq!((report.warnings[0].line, report.warnings[0].oddity), (6, Oddity::Repeated));
}

#[test]
fn what_belongs_to_no_product_is_told() {
    let report = report(&[
        "PA2*10*1000",
        "PA1**100",
        "PA2*1*1",
        "LS*0100",
        "PA1*1*5",
        "LE*0100",
        "PA2*2*2",
        "PA1*1*5",
    ]);
    let told: Vec<_> = report.warnings.iter().map(|warning| (warning.line, warning.oddity)).collect();
    let no_product = [3, 4, 5, 9].map(|line| (line, Oddity::NoProduct));
    assert_eq!(told[..4], no_product);
    assert_eq!(told[4], (10, Oddity::RepeatedProduct));
}

#[test]
fn events_know_their_selection_by_name_or_place() {
    let report = report(&[
        "PA1*020*75",
        "PA5*260601*130938*2",
        "EA2*ELA*1*70",
        "EA2*EGS*0*4**1",
        "EA2*EJB_101*0*2",
        "EA1*EGS*260508*1139*95206",
    ]);
    let selections: Vec<_> = report.events.iter().map(|event| event.selection.as_deref()).collect();
    assert_eq!(selections, [Some("020"), None, Some("101"), None], "a door is nobody's");
    assert_eq!(report.events[0].count, Both { since_init: Some(70), since_reset: Some(1) });
    assert_eq!(report.events[3].at.unwrap().to_string(), "2026-05-08T11:39");
    assert_eq!(report.errors, ["EGS"]);
    let sold_out = report.products[0].sold_out.unwrap();
    assert_eq!((sold_out.at.unwrap().to_string(), sold_out.presses), ("2026-06-01T13:09:38".into(), Some(2)));
}

#[test]
fn faults_are_active_events_and_the_makers_own_but_no_operations() {
    let report = report(&[
        "EA2*EAR*0*465**1",
        "EA2*OFA*0*3**1",
        "EA2*EJH*0*1**0",
        "MA5*ERROR*UA09*UA10",
        "MA5*ERROR*0",
    ]);
    assert_eq!(report.errors, ["EAR", "UA09", "UA10"]);
    assert!(report.has_errors());
}

#[test]
fn temperatures_are_read_as_each_maker_writes_them() {
    let report = report(&[
        "MA5*TEMP*55*C*DC",
        "MA5*TEMP*-05*C*DC",
        "MA5*TEMP*155*C*DC",
        "MA5*DESIRED TEMPERATURE*  400*C",
        "MA5*DETECTED TEMPERATURE*   50*C",
        "MA5*DETECTED TEMPERATURE*5*C",
        "MA5*TEMP*Cold*38*F*50",
        "MA5*TEMP*Snack*OPEN*F*---",
    ]);
    let hundredths: Vec<_> = report.temperatures.iter().map(|one| one.hundredths).collect();
    assert_eq!(hundredths, [550, -50, 1_550, 400, 50, 500, 3_800]);
    assert_eq!(report.temperatures[6].name, "Cold");
    assert_eq!(report.temperatures[6].unit.as_deref(), Some("F"));
}

#[test]
fn vendor_segments_on_one_line_are_read_apart() {
    let report = report(&["MA5*DESIRED TEMPERATURE*  400*CMA5*DETECTED TEMPERATURE*  600*C"]);
    let hundredths: Vec<_> = report.temperatures.iter().map(|one| one.hundredths).collect();
    assert_eq!(hundredths, [400, 600]);
    assert_eq!(report.warnings[0].oddity, Oddity::Glued);
}

#[test]
fn columns_cards_and_the_makers_clock_are_read() {
    let report =
        report(&["MA5*SEL03*7,8,9*2788*2841", "MA5*CARD*SEL03*448135*863", "MA5*TIME*1*260924*1919*AUS"]);
    assert_eq!(report.columns[0].motors.as_deref(), Some("7,8,9"));
    assert_eq!((&*report.cards[0].column, report.cards[0].sales), ("SEL03", amount(863, 448_135)));
    assert_eq!(report.vendor_clock.unwrap().to_string(), "2026-09-24T19:19");
}

#[test]
fn cash_is_told_apart_by_where_it_went() {
    let report = report(&[
        "CA3*100*20*30*5*1000*200*300*50*500*5000*7*70",
        "CA4*10*1*100*9*20*2*3*200*19*30",
        "CA7*5*50*1*10",
        "CA8*3*30",
        "CA9*4*40",
        "CA10*6*60*7*70",
        "CA15*12550",
        "CA17*2*10*67***1",
        "CA14*500*3*2*30*20",
        "DA5*1*2*10*20",
        "DA9*1*11",
    ]);
    let Both { since_init, since_reset } = report.totals.cash_in.clone();
    assert_eq!((since_reset.total, since_reset.cash_box, since_reset.tubes), (Some(100), Some(20), Some(30)));
    assert_eq!((since_init.total, since_init.cash_box, since_init.tubes), (Some(1000), Some(200), Some(300)));
    assert_eq!(
        (since_reset.bills, since_init.bills),
        (Some(500), Some(5_000)),
        "not the whole units of CA304, CA308"
    );
    assert_eq!((since_reset.recycler, since_init.recycler), (Some(7), Some(70)));
    let out = report.totals.cash_out.since_init.clone();
    assert_eq!((out.dispensed, out.manual, out.bills_dispensed), (Some(100), Some(9), Some(200)));
    assert_eq!(report.totals.cash_discounts.since_init, amount(10, 50));
    assert_eq!(report.totals.overpay.since_init, Some(30));
    assert_eq!(report.totals.exact_change_vends.since_init, Some(40));
    assert_eq!(report.totals.bills_filled.since_init, Some(70));
    assert_eq!(report.totals.tube_value, Some(12_550));
    assert!(report.coin_tubes[0].is_full);
    assert_eq!(report.bills[0].stacked, Both { since_init: Some(20), since_reset: Some(2) });
    assert_eq!(report.totals.cashless_1.discounts.since_init, amount(20, 10));
    assert_eq!(report.totals.cashless_1.overpay.since_init, Some(11));
}

#[test]
fn coins_by_block_count_only_where_the_tubes_are_not_listed() {
    let blocks = ["CA15*500*TUBE1*0*7*0*0*0*0*0*0", "CA15*500*TUBE2*3*0*0*0*0*0*0*0"];
    let tubes: Vec<_> = report(&blocks).coin_tubes.iter().map(|tube| (tube.coin, tube.coins)).collect();
    assert_eq!(tubes, [(Some(1), Some(7)), (Some(8), Some(3))]);
    assert_eq!(report(&[blocks[0], "CA17*1*10*8"]).coin_tubes.len(), 1);
}

#[test]
fn numbers_and_dates_that_are_none_are_told() {
    let report = report(&["VA1*12x*5", "EA1*EGS*261345*1200", "EA3*1*000000*0000", "PA1*1*1.50"]);
    let told: Vec<_> = report.warnings.iter().map(|warning| (warning.line, warning.oddity)).collect();
    assert_eq!(told, [(3, Oddity::NotANumber), (4, Oddity::NotADate), (6, Oddity::NotANumber)]);
    assert_eq!(report.totals.vends.since_init.count, Some(5));
}

#[test]
fn of_what_comes_once_the_first_counts() {
    let report = report(&["VA1*500*5", "VA1*900*9"]);
    assert_eq!(report.totals.vends.since_init, amount(5, 500));
    assert_eq!(report.warnings[0].oddity, Oddity::Repeated);
}

#[test]
fn a_serial_of_blanks_or_zeros_is_none() {
    assert_eq!(report(&["ID1*            *  MODEL "]).identity.serial, None);
    assert_eq!(report(&["ID1*00000000*MODEL"]).identity.serial, None);
    assert_eq!(report(&["ID1*00000010*MODEL"]).identity.serial.as_deref(), Some("00000010"));
}

#[test]
fn names_in_other_alphabets_come_through() {
    let report = report(&[
        "PA1*1*100*^D0^^9A^^D0^^BE^^D1^^84^^D0^^B5^",
        "PA1*2*100*^CA^^EE^^F4^^E5^",
        "PA1*3*100*caf^E9^ cr^E8^me",
    ]);
    let names: Vec<_> = report.products.iter().map(|product| product.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["Кофе", "Кофе", "café crème"], "UTF-8, Windows-1251, Latin-1");
}

#[test]
fn currencies_are_read_in_all_the_forms_that_machines_write() {
    let told = |line: &str| {
        let currency = report(&[line]).currency;
        (currency.decimals, currency.iso_numeric(), currency.iso_alpha().map(str::to_owned))
    };
    let is = |decimals, numeric, alpha: Option<&str>| (decimals, numeric, alpha.map(str::to_owned));
    assert_eq!(told("ID4*2*1978*EUR"), is(2, Some(978), Some("EUR")));
    assert_eq!(told("ID4*2*1036*1"), is(2, Some(36), None));
    assert_eq!(told("ID4*2*840*USD"), is(2, Some(840), Some("USD")));
    assert_eq!(told("ID4*2*036*AUD"), is(2, Some(36), Some("AUD")));
    assert_eq!(told("ID4*2*0036*N/A"), is(2, None, None));
    assert_eq!(told("ID4*2*0001*1"), is(2, None, None));
    assert_eq!(told("ID4*2*7"), is(2, None, None));
    assert_eq!(told("ID4*2*FFFF*1"), is(2, None, None));
    assert_eq!(told("ID4*0*039*050"), is(0, None, None));
    assert_eq!(told("ID4*1*7*"), is(1, None, None));
    assert_eq!(told("ID4*2**XTS"), is(2, None, Some("XTS")));
    assert_eq!(told("ID4***"), is(2, None, None));
    assert_eq!(told("ID4*2*1+36*EUR"), is(2, None, Some("EUR")));
}

#[test]
fn bills_in_dollars_become_cents_only_where_the_parts_prove_it() {
    let bills = |line: &str| {
        let cash_in = report(&[line]).totals.cash_in;
        (cash_in.since_reset.bills, cash_in.since_init.bills)
    };
    assert_eq!(bills("CA3*0*0*0*0*1340*300*540*5"), (Some(0), Some(500)), "dollars");
    assert_eq!(bills("CA3*0*0*0*0*1340*300*540*500"), (Some(0), Some(500)), "cents");
    assert_eq!(bills("CA3*0*0*0*0*1340*300*541*5"), (Some(0), Some(5)), "nobody knows");
    assert_eq!(bills("CA3****1****5"), (Some(1), Some(5)), "nobody knows");
    assert_eq!(bills("CA3*340*0*240*1*340*0*240*1*100*100"), (Some(100), Some(100)), "both");
    assert_eq!(bills("CA3*340*0*240*1*340*0*240*1*0*0"), (Some(100), Some(100)), "zeros for the rest");
    assert_eq!(bills("CA3*0*0*0*0*0*0*0*18446744073709551615"), (Some(0), Some(u64::MAX)), "and no overflow");
}
