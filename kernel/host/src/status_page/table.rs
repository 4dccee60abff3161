//! Tables that become lists where there is no room for columns.

use maud::{Markup, html};

use crate::service::Column;

/// A table. Its roles are said in words, because a browser forgets them where the style makes a list of it.
pub(super) fn table(caption: &Markup, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" { tr role="row" {
                @for column in columns {
                    th role="columnheader" scope="col" class=[class(*column)] { (heading(*column)) }
                }
            } }
            tbody role="rowgroup" {
                @for row in rows { tr role="row" {
                    @for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
                        @if at == 0 {
                            th role="rowheader" scope="row" class=[class(*column)] { div { (cell) } }
                        } @else {
                            td role="cell" data-label=(heading(*column)) class=[class(*column)] { div { (cell) } }
                        }
                    }
                } }
            }
        }
    }
}

fn heading(column: Column) -> &'static str {
    match column {
        Column::Text(heading) | Column::Number(heading) => heading,
    }
}

fn class(column: Column) -> Option<&'static str> {
    match column {
        Column::Text(_) => None,
        Column::Number(_) => Some("n"),
    }
}
