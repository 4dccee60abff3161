//! `banyan audit` says whether the books balance, and does not when they do not.

use e2e::{On, Shop, order, receive};

#[test]
fn an_audit_finds_books_that_balance_and_a_penny_that_does_not() {
    let mut shop = Shop::open(&On::Sqlite);
    let mut client = shop.client();
    assert_eq!(client.put("/v1/stock-movements/m-1", &receive("tea", 50)).expect("an answer").0, 201);
    for (name, method) in [("o-1", "pm_card_visa"), ("o-2", "pm_card_chargeDeclined"), ("o-3", "pm_card_visa")] {
        assert_eq!(client.checkout(name, &order(&[("tea", 2, 1_999)], method)).expect("an answer").0, 201);
    }
    let (balances, said) = shop.audit();
    assert!(balances, "{said}");
    assert!(said.contains("3 orders (1 cancelled, 2 confirmed)"), "{said}");

    shop.stop();
    let book = shop.data_file("test-provider.book");
    let mut written = std::fs::read(&book).expect("the provider's book");
    let amount = b"\"amount\":3998";
    let ends: Vec<_> = (amount.len()..=written.len()).filter(|end| written[..*end].ends_with(amount)).collect();
    assert!(!ends.is_empty(), "what was charged stands in the file once nobody has it open");
    for end in ends {
        written[end - 1] = b'7';
    }
    std::fs::write(&book, written).expect("the provider's book can be changed");
    shop.start();
    let (balances, said) = shop.audit();
    assert!(!balances && said.contains("3998 are due, the provider kept 3997"), "{said}");
}
