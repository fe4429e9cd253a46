//! Readings that outlive their file.

use crate::event::{Event, Reads, Service};
use crate::identity::{Currency, Device, Identity};
use crate::product::{Payment, PriceList, Product};
use crate::reading::{Reading, Report};
use crate::text::{own, own_some};
use crate::vendor::{Card, Column, Temperature};
use crate::warning::Warning;

impl Reading<'_> {
    /// The same reading, independent of the file.
    pub fn into_owned(self) -> Report {
        Report {
            identity: self.identity.into_owned(),
            currency: self.currency.into_owned(),
            totals: self.totals,
            products: all(self.products, Product::into_owned),
            coin_tubes: self.coin_tubes,
            bills: self.bills,
            events: all(self.events, Event::into_owned),
            reads: self.reads.into_owned(),
            initialised_at: self.initialised_at,
            prices_set_at: self.prices_set_at,
            services: all(self.services, Service::into_owned),
            power_outages: self.power_outages,
            temperatures: all(self.temperatures, Temperature::into_owned),
            vendor_clock: self.vendor_clock,
            cards: all(self.cards, Card::into_owned),
            columns: all(self.columns, Column::into_owned),
            errors: all(self.errors, own),
            crc: self.crc,
            warnings: all(self.warnings, Warning::into_owned),
            segments: self.segments,
            is_truncated: self.is_truncated,
        }
    }
}

fn all<T, U>(list: Vec<T>, own: fn(T) -> U) -> Vec<U> {
    list.into_iter().map(own).collect()
}

impl Identity<'_> {
    fn into_owned(self) -> Identity<'static> {
        let device = |device: Option<Device<'_>>| device.map(Device::into_owned);
        Identity {
            serial: own_some(self.serial),
            model: own_some(self.model),
            build: own_some(self.build),
            location: own_some(self.location),
            user_field: own_some(self.user_field),
            asset: own_some(self.asset),
            communication_id: own_some(self.communication_id),
            version: own_some(self.version),
            control_board: device(self.control_board),
            bill_validator: device(self.bill_validator),
            coin_mechanism: device(self.coin_mechanism),
            cashless_1: device(self.cashless_1),
            cashless_2: device(self.cashless_2),
            audit_module: device(self.audit_module),
            clock: self.clock,
        }
    }
}

impl Device<'_> {
    fn into_owned(self) -> Device<'static> {
        Device {
            serial: own_some(self.serial),
            model: own_some(self.model),
            software: own_some(self.software),
        }
    }
}

impl Currency<'_> {
    fn into_owned(self) -> Currency<'static> {
        Currency { decimals: self.decimals, numeric: own_some(self.numeric), alpha: own_some(self.alpha) }
    }
}

impl Product<'_> {
    fn into_owned(self) -> Product<'static> {
        Product {
            selection: own(self.selection),
            price: self.price,
            name: own_some(self.name),
            capacity: self.capacity,
            standard_level: self.standard_level,
            standard_quantity: self.standard_quantity,
            is_missing: self.is_missing,
            level: self.level,
            minimum_level: self.minimum_level,
            vends: self.vends,
            discounts: self.discounts,
            surcharges: self.surcharges,
            test_vends: self.test_vends,
            free_vends: self.free_vends,
            sold_out: self.sold_out,
            payments: all(self.payments, Payment::into_owned),
            mixed: self.mixed,
            price_lists: all(self.price_lists, PriceList::into_owned),
        }
    }
}

impl Payment<'_> {
    fn into_owned(self) -> Payment<'static> {
        Payment {
            device: own(self.device),
            price_list: own_some(self.price_list),
            price: self.price,
            vends: self.vends,
        }
    }
}

impl PriceList<'_> {
    fn into_owned(self) -> PriceList<'static> {
        PriceList { list: own(self.list), price: self.price, vends: self.vends }
    }
}

impl Event<'_> {
    fn into_owned(self) -> Event<'static> {
        Event {
            code: own(self.code),
            user: own_some(self.user),
            selection: own_some(self.selection),
            at: self.at,
            minutes: self.minutes,
            milliseconds: self.milliseconds,
            count: self.count,
            is_active: self.is_active,
        }
    }
}

impl Reads<'_> {
    fn into_owned(self) -> Reads<'static> {
        Reads {
            with_reset: self.with_reset,
            this_read: self.this_read,
            this_terminal: own_some(self.this_terminal),
            last_read: self.last_read,
            last_terminal: own_some(self.last_terminal),
            all: self.all,
            resets: self.resets,
        }
    }
}

impl Service<'_> {
    fn into_owned(self) -> Service<'static> {
        Service { at: self.at, terminal: own_some(self.terminal), what: own_some(self.what) }
    }
}

impl Temperature<'_> {
    fn into_owned(self) -> Temperature<'static> {
        Temperature { name: own(self.name), hundredths: self.hundredths, unit: own_some(self.unit) }
    }
}

impl Card<'_> {
    fn into_owned(self) -> Card<'static> {
        Card { column: own(self.column), sales: self.sales }
    }
}

impl Column<'_> {
    fn into_owned(self) -> Column<'static> {
        Column { column: own(self.column), motors: own_some(self.motors) }
    }
}

impl Warning<'_> {
    fn into_owned(self) -> Warning<'static> {
        Warning { line: self.line, oddity: self.oddity, text: own(self.text) }
    }
}
