//! Whole captures as makers write them, each with the peculiarities that its machines are known for.
//! Names, serials and counters are made up.

use eva_dts::{Amount, Both, CrcStatus, Oddity, Report, crc16, parse};

fn amount(count: u64, value: u64) -> Amount {
    Amount { count: Some(count), value: Some(value) }
}

/// A file of these lines as they stand: the envelope is the maker's too. `%G85` becomes the checksum.
fn file(lines: &[&str]) -> Vec<u8> {
    let text = lines.join("\r\n") + "\r\n";
    let covered = text.find("ST*").zip(text.find("G85*")).map_or("", |(from, to)| &text[from..to]);
    text.replace("%G85", &format!("{:04X}", crc16(covered.as_bytes()))).into_bytes()
}

fn report(lines: &[&str]) -> Report {
    let file = file(lines);
    let dumps = parse(&file);
    assert_eq!(dumps.len(), 1);
    dumps[0].report()
}

fn oddities(report: &Report) -> Vec<Oddity> {
    let mut oddities: Vec<_> = report.warnings.iter().map(|warning| warning.oddity).collect();
    oddities.dedup();
    oddities
}

#[test]
fn sielaff_puts_its_settings_in_front_of_the_dump() {
    let report = report(&[
        "MC5*PARAM1*100",
        "MC5*PARAM2*0*1",
        "DXS*SIE0000001*VA*V0/6*1",
        "ST*001*0001",
        "ID1*SIE42*SVM 10*100***OFFICE 3",
        "ID4*2*1978*EUR",
        "VA1*15000*100*1500*10",
        "PA1*11*150*Water 0^2C^5l*10*8*8**6*2",
        "PA2*100*15000*10*1500",
        "PA5*20261120*181500*3",
        "G85*%G85",
        "SE*9*0001",
        "DXE*1*1",
    ]);
    assert_eq!((report.crc.status, oddities(&report)), (CrcStatus::Valid, vec![Oddity::BeforeStart]));
    assert_eq!(report.identity.asset.as_deref(), Some("OFFICE 3"));
    let product = &report.products[0];
    assert_eq!(product.name.as_deref(), Some("Water 0,5l"));
    assert_eq!(
        (product.capacity, product.standard_level, product.standard_quantity),
        (Some(10), Some(8), Some(8))
    );
    assert_eq!((product.level, product.minimum_level), (Some(6), Some(2)));
    let sold_out = product.sold_out.unwrap();
    assert_eq!((sold_out.at.unwrap().to_string(), sold_out.presses), ("2026-11-20T18:15:00".into(), Some(3)));
}

#[test]
fn nectas_reader_wraps_the_dump_and_leaves_the_last_line_end_out_of_the_checksum() {
    let body = "ST*001*0001\r\nID1*NEC7*      CONCERTO      ****NEC7\r\nID4*0\r\nVA1*0*172493*0*193\r\n\
                PA1*2*1*espresso        ****1\r\nPA2*70*0*9*0*0*0*0*0\r\nPA3*0**0\r\nLA1*0*2*1*9*70\r\n\
                EA1*EDI_1*191016*110136\r\nEA2*EDI_1****0";
    let crc = crc16(body.as_bytes());
    let head = "<000|Operations|BlueRed Pc1|20191206|094751|daa|00001|__|>DXS*NEC0000001*VA*V0/6*1";
    let file = format!("{head}\r\n{body}\r\nG85*{crc:04x}\r\nSE*11*0001\r\nDXE*1*1\r\n<AAAA|BBBB>");
    let dumps = parse(file.as_bytes());
    let report = dumps[0].report();
    assert_eq!((dumps.len(), report.crc.status), (1, CrcStatus::ValidNoFinalCrlf));
    assert_eq!(oddities(&report), [Oddity::Wrapper, Oddity::SegmentCount, Oddity::Wrapper]);
    assert_eq!((report.identity.model.as_deref(), report.currency.decimals), (Some("CONCERTO"), 0));
    assert_eq!(report.products[0].name.as_deref(), Some("espresso"));
    assert!(!report.products[0].is_missing, "they mark every selection, and sell from all of them");
    assert_eq!(report.products[0].price_lists[0].vends, Both { since_init: Some(70), since_reset: Some(9) });
    assert_eq!((report.events[0].code.as_ref(), report.events[1].is_active), ("EDI_1", false));
}

#[test]
fn wittern_tells_a_products_events_behind_it() {
    let report = report(&[
        "DXS*WTN1234567*VA*V0/6*1",
        "ST*001*0001",
        "PA1*010*75*****1",
        "PA2*120*9000*3*225",
        "PA4*5*375*0*0",
        "EA2*ELA*70*71",
        "PA1*011*75",
        "PA2*4*300*0*0",
        "EA2*EJB_011*1*2**1",
        "EA2*EGS*0*0**1*95206",
        "MA5*TEMP*Cold*38*F*50",
        "G85*%G85",
        "SE*12*0001",
        "DXE*1*1",
    ]);
    assert_eq!(report.warnings, []);
    let selections: Vec<_> = report.events.iter().map(|event| event.selection.as_deref()).collect();
    assert_eq!(selections, [Some("010"), Some("011"), None]);
    assert!(report.products[0].is_missing && !report.products[1].is_missing);
    assert_eq!(report.events[2].minutes, Some(95_206));
    assert_eq!(report.errors, ["EJB_011", "EGS"]);
    assert_eq!(report.temperatures[0].hundredths, 3_800);
}

#[test]
fn fage_counts_by_price_list_and_not_by_payment() {
    let report = report(&[
        "DXS*FAG0000001*VA*V0/6*1",
        "ST*001*0001",
        "ID4*2*1978*EUR",
        "LA1*0*1*50*2*20",
        "LA1*1*1*45*1*10",
        "PA1*1*50*CAFE SOLO",
        "PA1*2*60*CORTADO",
        "LA1*0*2*60*0*7",
        "G85*%G85",
        "SE*9*0001",
        "DXE*1*1",
    ]);
    let product = &report.products[0];
    assert_eq!(
        (product.vends, product.price_lists.len()),
        (Both::default(), 2),
        "lists came before the product"
    );
    assert_eq!((product.price_lists[1].price, product.price_lists[1].vends.since_init), (Some(45), Some(10)));
    assert_eq!(report.products[1].price_lists[0].vends.since_init, Some(7));
}

#[test]
fn jofemar_sells_by_payment_alone_and_marks_what_it_never_set() {
    let report = report(&[
        "DXS*JOF0000000*VA*V0/6*1",
        "ST*001*0001",
        "ID1******138*6*1",
        "ID4*1*7*",
        "VA1*1990*8*1990*8",
        "CA3*7754240*1502250*2556690**7754240*1502250*2556690**3695300*3695300",
        "CA17*2*10*67*3*2*1",
        "PA1*01*250*0",
        "PA3*22**22",
        "PA7*01*CA*0*250*8*1990*8*1990",
        "PA7*01*TA*0*250*0*4294967295*0*4294967295",
        "PA7*01*DB**250*1*250*1*250",
        "EA3**20160113*143005******1*0",
        "G85*%G85",
        "SE*14*0001",
        "DXE*1*1",
    ]);
    assert_eq!((report.currency.decimals, report.currency.iso_numeric()), (1, None), "7 is a telephone code");
    assert_eq!(report.totals.cash_in.since_init.bills, Some(3_695_300));
    let tube = report.coin_tubes[0];
    assert_eq!((tube.coins, tube.inserted, tube.dispensed, tube.is_full), (Some(67), Some(3), Some(2), true));
    let payments = &report.products[0].payments;
    assert_eq!(payments[0].vends.since_init, amount(8, 1_990));
    assert_eq!(payments[1].vends.since_init, Amount { count: Some(0), value: None });
    assert_eq!((payments[2].device.as_ref(), payments[2].price_list.as_deref()), ("DB", None));
    assert_eq!(report.products[0].test_vends.since_init, Amount { count: Some(22), value: None });
    assert_eq!((report.reads.with_reset, report.reads.all, report.reads.resets), (None, Some(1), Some(0)));
}

#[test]
fn ephor_names_products_in_russian_and_sends_its_settings_as_well() {
    let report = report(&[
        "DXS*EPH0000001*VA*V1/0*1**",
        "ST*001*0001",
        "AC2*******4*0*0*15",
        "IC1******ephor1*0",
        "IC4*2*1643*RUS",
        "PC1*1*0*^CA^^EE^^F4^^E5^ ^F1^ ^EC^^EE^^EB^^EE^^EA^^EE^^EC^",
        "PC7*1*CA*0*2500",
        "PC9*1*35*3",
        "MC5*INTERNET*gprs*1",
        "ID4*2*1643*RUB",
        "PA1*01*2500*^D7^^E0^^E9^",
        "PA2*4294967295*4294967295*0*0",
        "PA7*01*CA*0*2500*4294967295*4294967295*1*2500",
        "G85*%G85",
        "SE*14*0001",
        "DXE*1*1",
    ]);
    assert_eq!(report.warnings, [], "settings are no audit, and nothing odd");
    assert_eq!((report.currency.iso_numeric(), report.currency.iso_alpha()), (Some(643), Some("RUB")));
    assert_eq!((report.products.len(), report.products[0].name.as_deref()), (1, Some("Чай")));
    assert_eq!(report.products[0].vends.since_init, Amount::default(), "never set");
    assert_eq!(report.products[0].payments[0].vends.since_reset, amount(1, 2_500));
}

#[test]
fn nayax_counts_segments_wrongly_and_has_coins_of_garbage() {
    let report = report(&[
        "DXS*NYX0000001*VA*V0/6*1",
        "ST*001*0001",
        "ID1*NYX-A*VENDSYS*1.0",
        "VA1*34450*176*0*0",
        "CA17*0*5*12",
        "CA17*1*63792*48",
        "PA1*101*325",
        "PA2*176*34450*0*0",
        "G85*%G85",
        "SE*106*0001",
        "DXE*1*1",
    ]);
    assert_eq!(oddities(&report), [Oddity::Implausible, Oddity::SegmentCount]);
    assert_eq!((report.crc.status, report.has_errors()), (CrcStatus::Valid, false));
    assert_eq!(report.coin_tubes[1].value, Some(63_792), "told, and kept");
}

#[test]
fn coinco_repeats_segments_of_empty_elements() {
    let report = report(&[
        "DXS*9259630009*VA*V1/1*1**",
        "ST*001*0001",
        "ID1*00000000***00000000**",
        "ID4*0*0007*001",
        "VA1*971226*68773*0*0",
        "BA1**RU67VM60*0p",
        "CA1*0807521682/07840684*RUR-A801*0007*RUR-G801-U04*",
        "CA3*0*0*0*0*1319090*359928*291042*668120",
        "CA15*70*********",
        "CA17*0*1*0**",
        "DA1***",
        "DA7*0*0*0*0*0*0",
        "DA7*1*0*0*0*0*0",
        "PA1*1*****",
        "PA2*2*20*0*0",
        "EA1******",
        "EA3*1*******",
        "G85*%G85",
        "SE*18*0001",
        "DXE*1*1",
    ]);
    assert_eq!(report.warnings, []);
    assert_eq!((report.identity.serial.as_deref(), report.currency.decimals), (None, 0));
    assert_eq!(report.identity.bill_validator.as_ref().unwrap().model.as_deref(), Some("RU67VM60"));
    assert_eq!(report.identity.cashless_1, None, "a device that says nothing of itself is not there");
    assert_eq!((report.totals.cash_in.since_init.bills, report.totals.tube_value), (Some(668_120), Some(70)));
    assert_eq!((report.events.len(), report.reads.with_reset), (0, Some(1)));
}

#[test]
fn coca_colas_machines_have_codes_of_their_own_and_bills_in_dollars_beside_cents() {
    let report = report(&[
        "DXS*9259630007*VA*V1/1*1",
        "ST*001*0001",
        "ID1*KO00012345*VND 721*0100**3.0*",
        "ID4*2*1036*1",
        "VA1*12300*41*1200*4*0*0",
        "CA3*2000*500*500*10*21000*8000*3000*100*1000*10000*0*0",
        "LS*0100",
        "PA1*1*300*",
        "PA2*41*12300*4*1200*0*0",
        "LE*0100",
        "EA2*DO*3*47",
        "EA2*CR*1*12",
        "EA3*5000*260924*1919",
        "MA5*SEL01*1,9*41*43",
        "MA5*SWITCH*UNLOCK*1,2,4**7",
        "MA5*ERROR*UA09*UA10",
        "MA5*TIME*1*260924*1919*AUS",
        "MA5*TEMP*55*C*DC",
        "MA5*CARD*SEL01*6300*21",
        "SD1*000000000000",
        "G85*%G85",
        "SE*21*0001",
        "DXE*1*1",
    ]);
    assert_eq!(report.warnings, []);
    let bills = (report.totals.cash_in.since_reset.bills, report.totals.cash_in.since_init.bills);
    assert_eq!(bills, (Some(1_000), Some(10_000)));
    let events: Vec<_> = report.events.iter().map(|event| (&*event.code, event.count)).collect();
    let both = |init, reset| Both { since_init: Some(init), since_reset: Some(reset) };
    assert_eq!(events, [("DO", both(47, 3)), ("CR", both(12, 1))]);
    assert_eq!(report.errors, ["UA09", "UA10"]);
    assert_eq!(report.temperatures[0].hundredths, 550);
    assert_eq!(report.cards[0].sales, amount(21, 6_300));
    assert_eq!(report.columns[0].motors.as_deref(), Some("1,9"));
    assert_eq!(report.vendor_clock.unwrap().to_string(), "2026-09-24T19:19");
}

#[test]
fn rst_sends_a_constant_for_the_checksum_and_itself_at_the_end() {
    let report = report(&[
        "DXS*RST7654321*VA*V0/6*1",
        "ST*001*0001",
        "CA2*10000*50*0*0",
        "CA3*0*0*0*0*12000*4000*3000*5000",
        "DA2*2300*10*0*0",
        "MA5*DESIRED TEMPERATURE*  400*C",
        "MA5*DETECTED TEMPERATURE* -150*C",
        "PA1*1A*205",
        "PA2*60*12300*0*0",
        "VA1*12300*60*0*0",
        "EA2*EGS*0*465**1",
        "EA1*EGS*260924*0207",
        "ID1*RST00042*SNACK 6*****60*6100",
        "ID4*2*0036*N/A",
        "ID5*260924*2014*59",
        "G85*2321",
        "SE*16*0001",
        "DXE*1*1",
    ]);
    assert_eq!((report.warnings.as_slice(), report.crc.status), (&[][..], CrcStatus::Placeholder));
    assert_eq!(report.identity.serial.as_deref(), Some("RST00042"));
    assert_eq!(report.identity.clock.unwrap().to_string(), "2026-09-24T20:14:59");
    assert_eq!(report.totals.cash_in.since_init.bills, Some(5_000), "cents, though there is no CA310");
    let hundredths: Vec<_> = report.temperatures.iter().map(|one| one.hundredths).collect();
    assert_eq!(hundredths, [400, -150]);
    assert_eq!(
        (report.currency.iso_numeric(), report.currency.iso_alpha()),
        (None, None),
        "Australia's telephone"
    );
}

#[test]
fn crane_names_the_machine_behind_its_counters_and_old_ones_count_bills_in_dollars() {
    let report = report(&[
        "DXS*CRN0000001*VA*V0/6*1",
        "ST*001*0001",
        "VA1*900*6*150*1",
        "CA3*340*0*240*1*1340*300*540*5",
        "PA1*110*150",
        "PA2*6*900*1*150",
        "EA7*0*12",
        "ID4*2*840*USD",
        "ID1*CRN9*BEVMAX",
        "@$1*5",
        "G85*%G85",
        "SE*11*0001",
        "CA17*1*25*30",
        "DXE*1*1",
    ]);
    assert_eq!(oddities(&report), [Oddity::NotASegment, Oddity::AfterEnd]);
    assert_eq!((report.identity.serial.as_deref(), report.currency.iso_numeric()), (Some("CRN9"), Some(840)));
    let bills = (report.totals.cash_in.since_reset.bills, report.totals.cash_in.since_init.bills);
    assert_eq!(bills, (Some(100), Some(500)), "1340 is 300 + 540 + 5 dollars");
    assert_eq!((report.coin_tubes[0].coins, report.power_outages.since_init), (Some(30), Some(12)));
}

#[test]
fn animo_writes_long_dates_and_what_was_cleaned() {
    let report = report(&[
        "DXS*ANI1234567*VA*V0/6*1",
        "ST*001*0001",
        "AM1*123456789876*GATEWAY 100*10",
        "ID1*ANI1*3M3 *105*000*FLOOR 2      *A-17",
        "ID5*20261119*230111**EU",
        "VA1*816100*8161*816100*8161",
        "PA1*0*100*COFFEE***0",
        "PA2*412*41200*2655",
        "PA4*359*0*591",
        "SA2*1*992*",
        "EA6*20261111*232706*ANI1*Clean Brewer",
        "TA2**0**0",
        "SD1*",
        "G85*%G85",
        "SE*14*0001",
        "DXE*1*1",
    ]);
    assert_eq!(oddities(&report), [Oddity::ResetExceedsInit]);
    assert_eq!(report.identity.audit_module.as_ref().unwrap().model.as_deref(), Some("GATEWAY 100"));
    assert_eq!(report.identity.user_field.as_deref(), Some("FLOOR 2"));
    assert_eq!(report.identity.clock.unwrap().to_string(), "2026-11-19T23:01:11");
    assert_eq!(report.services[0].what.as_deref(), Some("Clean Brewer"));
    assert_eq!(report.products[0].selection, "0");
}

#[test]
fn rhea_swaps_the_checksum_and_pads_with_zeros() {
    let body = "ST*001*0001\r\nID1*0*SAGOMA*27*0*MDB*0\r\nID4*2**XTS\r\nVA1*00046400*00000012*00046400*00000012\r\n\
                PA1*1*00002500*WORKING\r\nPA2*00000012*00046400*00000012*00046400\r\nEA1*6A*161024*1336*\r\n";
    let crc = crc16(body.as_bytes()).swap_bytes();
    let file = format!("DXS*RHV7654321*VA*V1/1*1\r\n{body}G85*{crc:04X}\r\nSE*9*0001\r\nDXE*1*1\r\n");
    let report = parse(file.as_bytes())[0].report();
    assert_eq!((report.crc.status, report.warnings.as_slice()), (CrcStatus::ValidSwapped, &[][..]));
    assert_eq!((report.identity.version.as_deref(), report.identity.serial), (Some("V1/1"), None));
    assert_eq!(report.totals.vends.since_init, amount(12, 46_400));
    assert_eq!(report.products[0].price, Some(2_500));
}

#[test]
fn the_capture_of_the_readme_is_a_sound_one() {
    let readme = include_str!("../README.md");
    let text = readme.split("b\"").nth(1).unwrap().split("\";").next().unwrap();
    let file = text.replace("\\r\\n\\\n", "\\r\\n").replace("             ", "").replace("\\r\\n", "\r\n");
    let reading = parse(file.as_bytes())[0].report();
    assert_eq!((reading.crc.status, reading.warnings.as_slice()), (CrcStatus::Valid, &[][..]));
}
