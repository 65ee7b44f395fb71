//! What stands around the cells of a workbook (ECMA-376, transitional).

use super::cell::write_text;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";

/// The most characters of a sheet's name.
const SHEET_NAME: usize = 31;

/// How cells look: the places of these in the list of the workbook.
pub(super) mod style {
    pub(in super::super) const PLAIN: usize = 0;
    pub(in super::super) const HEADER: usize = 1;
    pub(in super::super) const WHOLE: usize = 2;
    pub(in super::super) const DATE: usize = 3;
    pub(in super::super) const TIME: usize = 4;
    /// A moment; one more with thousandths, two more with the mark of UTC.
    pub(in super::super) const MOMENT: usize = 6;
    /// Text that begins like a formula: stays text also where it is edited.
    pub(in super::super) const QUOTED: usize = 10;
    /// A decimal; so many more as it has digits behind the point.
    pub(in super::super) const DECIMAL: usize = 10;
    /// The most digits behind the point that have a style of their own.
    pub(in super::super) const DIGITS: usize = 15;
}

/// `_rels/.rels`.
pub(super) fn package() -> String {
    format!(
        "{HEAD}<Relationships xmlns=\"{PACKAGE}/relationships\">\
         <Relationship Id=\"rId1\" Type=\"{OFFICE}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    )
}

/// `[Content_Types].xml`.
pub(super) fn content_types(sheets: usize) -> String {
    let sheet = |n| {
        format!("<Override PartName=\"/xl/worksheets/sheet{n}.xml\" ContentType=\"{TYPE}.worksheet+xml\"/>")
    };
    format!(
        "{HEAD}<Types xmlns=\"{PACKAGE}/content-types\">\
         <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
         <Override PartName=\"/xl/workbook.xml\" ContentType=\"{TYPE}.sheet.main+xml\"/>\
         <Override PartName=\"/xl/styles.xml\" ContentType=\"{TYPE}.styles+xml\"/>{}</Types>",
        (1..=sheets).map(sheet).collect::<String>()
    )
}

/// `xl/workbook.xml`.
pub(super) fn workbook(title: &str, sheets: usize) -> String {
    let sheet = |n| {
        let mut name = Vec::new();
        write_text(sheet_name(title, n).as_bytes(), &mut name);
        let name = String::from_utf8_lossy(&name).replace('"', "&quot;");
        format!("<sheet name=\"{name}\" sheetId=\"{n}\" r:id=\"rId{n}\"/>")
    };
    format!(
        "{HEAD}<workbook xmlns=\"{MAIN}\" xmlns:r=\"{OFFICE}\"><sheets>{}</sheets></workbook>",
        (1..=sheets).map(sheet).collect::<String>()
    )
}

/// `xl/_rels/workbook.xml.rels`.
pub(super) fn relations(sheets: usize) -> String {
    let sheet = |n| {
        format!(
            "<Relationship Id=\"rId{n}\" Type=\"{OFFICE}/worksheet\" Target=\"worksheets/sheet{n}.xml\"/>"
        )
    };
    let styles = sheets + 1;
    format!(
        "{HEAD}<Relationships xmlns=\"{PACKAGE}/relationships\">{}\
         <Relationship Id=\"rId{styles}\" Type=\"{OFFICE}/styles\" Target=\"styles.xml\"/></Relationships>",
        (1..=sheets).map(sheet).collect::<String>()
    )
}

/// `xl/styles.xml`.
pub(super) fn styles() -> String {
    let mut formats: Vec<String> = ["yyyy\\-mm\\-dd", "hh:mm:ss", "hh:mm:ss.000"].map(str::to_owned).to_vec();
    for zone in ["", "\"Z\""] {
        for fraction in ["", ".000"] {
            formats.push(format!("yyyy\\-mm\\-dd\\ hh:mm:ss{fraction}{zone}"));
        }
    }
    let digits = formats.len();
    formats.extend((1..=style::DIGITS).map(|digits| format!("0.{}", "0".repeat(digits))));
    let first = 164;
    let mut declared = String::new();
    let mut looks =
        vec![look(0, ""), look(0, " fontId=\"1\" applyFont=\"1\""), look(1, " applyNumberFormat=\"1\"")];
    for (index, format) in formats.iter().enumerate() {
        let code = format.replace('"', "&quot;");
        declared.push_str(&format!("<numFmt numFmtId=\"{}\" formatCode=\"{code}\"/>", first + index));
        if index == digits {
            looks.push(look(0, " quotePrefix=\"1\""));
        }
        looks.push(look(first + index, " applyNumberFormat=\"1\""));
    }
    let font =
        |bold: &str| format!("<font>{bold}<sz val=\"11\"/><name val=\"Calibri\"/><family val=\"2\"/></font>");
    format!(
        "{HEAD}<styleSheet xmlns=\"{MAIN}\"><numFmts count=\"{}\">{declared}</numFmts>\
         <fonts count=\"2\">{}{}</fonts>\
         <fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills>\
         <borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
         <cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
         <cellXfs count=\"{}\">{}</cellXfs>\
         <cellStyles count=\"1\"><cellStyle name=\"Normal\" xfId=\"0\" builtinId=\"0\"/></cellStyles></styleSheet>",
        formats.len(),
        font(""),
        font("<b/>"),
        looks.len(),
        looks.concat(),
    )
}

fn look(format: usize, more: &str) -> String {
    let font = if more.contains("fontId") { "" } else { " fontId=\"0\"" };
    format!("<xf numFmtId=\"{format}\"{font} fillId=\"0\" borderId=\"0\" xfId=\"0\"{more}/>")
}

/// What stands before the rows of a sheet: its first row stays in sight.
pub(super) fn before_rows(number: usize) -> String {
    let selected = if number == 1 { " tabSelected=\"1\"" } else { "" };
    format!(
        "{HEAD}<worksheet xmlns=\"{MAIN}\"><sheetViews><sheetView{selected} workbookViewId=\"0\">\
         <pane ySplit=\"1\" topLeftCell=\"A2\" activePane=\"bottomLeft\" state=\"frozen\"/></sheetView></sheetViews><sheetData>"
    )
}

/// What stands after them.
pub(super) const AFTER_ROWS: &str = "</sheetData></worksheet>";

/// The name of a sheet: the title, without what such a name must not have, and from the second on a number.
pub(super) fn sheet_name(title: &str, number: usize) -> String {
    let ending = if number == 1 { String::new() } else { format!(" ({number})") };
    let allowed = |c: char| if c.is_control() || "[]:*?/\\".contains(c) { '_' } else { c };
    let mut name = String::new();
    let room = SHEET_NAME - ending.len();
    for c in title.chars().map(allowed) {
        if name.encode_utf16().count() + c.len_utf16() > room {
            break;
        }
        name.push(c);
    }
    let name = name.trim_matches('\'');
    // Excel keeps the name History for itself.
    match name.trim() {
        "" => format!("Records{ending}"),
        name if name.eq_ignore_ascii_case("history") => format!("{name}_{ending}"),
        _ => format!("{name}{ending}"),
    }
}

/// The letters of a column, counted from 0: A, B, …, Z, AA, ….
pub(super) fn letters(column: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        letters.push(b'A' + ((rest - 1) % 26) as u8);
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_the_letters_that_excel_gives_them() {
        for (column, expected) in [
            (0, "A"),
            (25, "Z"),
            (26, "AA"),
            (51, "AZ"),
            (52, "BA"),
            (701, "ZZ"),
            (702, "AAA"),
            (16_383, "XFD"),
        ] {
            assert_eq!(letters(column), expected);
        }
    }

    #[test]
    fn sheet_names_are_valid_whatever_the_title() {
        for (title, number, expected) in [
            ("flights", 1, "flights"),
            ("flights", 12, "flights (12)"),
            ("a/b:c[d]", 1, "a_b_c_d_"),
            ("'quoted'", 1, "quoted"),
            ("", 2, "Records (2)"),
            ("history", 1, "history_"),
            (&"long ".repeat(20), 2, "long long long long long lo (2)"),
            (&"😀".repeat(20), 1, &"😀".repeat(15)),
        ] {
            let name = sheet_name(title, number);
            assert_eq!(name, expected);
            assert!(name.encode_utf16().count() <= SHEET_NAME);
        }
    }

    #[test]
    fn every_style_is_where_it_is_looked_for() {
        let styles = styles();
        let looks: Vec<&str> =
            styles.split("<cellXfs").nth(1).expect("cellXfs").split("<xf ").skip(1).collect();
        assert!(looks[style::HEADER].contains("fontId=\"1\""));
        assert!(looks[style::WHOLE].contains("numFmtId=\"1\""));
        assert!(looks[style::DATE].contains("numFmtId=\"164\""));
        assert!(looks[style::MOMENT].contains("numFmtId=\"167\""));
        assert!(looks[style::QUOTED].contains("quotePrefix"));
        assert!(styles.contains("<numFmt numFmtId=\"171\" formatCode=\"0.0\"/>"));
        assert!(looks[style::DECIMAL + 1].contains("numFmtId=\"171\""));
        assert!(looks[style::DECIMAL + style::DIGITS].contains("numFmtId=\"185\""));
        assert_eq!(looks.iter().filter(|look| look.contains("numFmtId")).count(), 26);
    }
}
