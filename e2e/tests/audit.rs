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
    let written = std::fs::read_to_string(&book).expect("the provider's book");
    std::fs::write(&book, written.replacen("3998", "3997", 2)).expect("the provider's book can be changed");
    shop.start();
    let (balances, said) = shop.audit();
    assert!(!balances && said.contains("3998 are due, the provider kept 3997"), "{said}");
}
