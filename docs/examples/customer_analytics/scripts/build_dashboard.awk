# Draws the report: one HTML file with everything in it, and the same in short as text.

BEGIN {
    read_all()
    out = main_place()
    page()
    close(out)
    text = place("report.txt")
    summary()
    close(text)
    say_path("text", "report.txt")
    say("net_usd", from_cents(figure["net_cents"]))
    say("insights", insights)
    exit
}

# ---- what there is

function read_all(    file, n) {
    file = parameter("figures")
    open(file, "figure,value")
    while (next_row(file) > 0) figure[row[1]] = row[2] + 0

    file = parameter("insights")
    open(file, "team,weight,title,text")
    while (next_row(file) > 0) {
        insight_team[++insights] = row[1]
        insight_weight[insights] = row[2] + 0
        insight_title[insights] = row[3]
        insight_text[insights] = row[4]
    }

    file = parameter("months")
    open(file, "month,orders,cancelled,gross_cents,refund_cents")
    while (next_row(file) > 0) {
        month[++months] = row[1]
        month_orders[months] = row[2] + 0
        month_gross[months] = row[4] + 0
        month_refunds[months] = row[5] + 0
    }

    file = parameter("segments")
    open(file, "segment,buyers,orders,net_cents,reachable")
    while (next_row(file) > 0) {
        segment[++segments] = row[1]
        segment_buyers[segments] = row[2] + 0
        segment_orders[segments] = row[3] + 0
        segment_net[segments] = row[4] + 0
        segment_reachable[segments] = row[5] + 0
    }

    file = parameter("cohorts")
    open(file, "first_month,months_later,buyers")
    while (next_row(file) > 0) {
        if (row[2] + 0 == 0) cohort[++cohorts] = row[1]
        cohort_buyers[cohorts, row[2] + 0] = row[3] + 0
    }

    file = parameter("countries")
    open(file, "country,buyers,net_cents")
    while (next_row(file) > 0) {
        country[++countries] = row[1]
        country_buyers[countries] = row[2] + 0
        country_net[countries] = row[3] + 0
    }

    file = parameter("categories")
    open(file, "category,orders,net_cents,margin_cents,returns")
    while (next_row(file) > 0) {
        category[++categories] = row[1]
        category_orders[categories] = row[2] + 0
        category_net[categories] = row[3] + 0
        category_margin[categories] = row[4] + 0
        category_returns[categories] = row[5] + 0
    }

    file = parameter("products")
    open(file, "sku,name,category,orders,units,net_cents,margin_cents,returns,stock,stock_days")
    while (next_row(file) > 0 && products < 10) {
        product[++products] = row[2]
        product_category[products] = row[3]
        product_units[products] = row[5] + 0
        product_net[products] = row[6] + 0
        product_margin[products] = row[7] + 0
        product_returns[products] = row[8] + 0
        product_orders[products] = row[4] + 0
        product_stock[products] = row[9]
    }
    close(file)
}

function span() {
    return months + 0 (months == 1 ? " month" : " months")
}

# ---- the page

function put(line) {
    print line > out
}

function page() {
    put("<!DOCTYPE html>")
    put("<html lang=\"en\">")
    put("<head>")
    put("<meta charset=\"utf-8\">")
    put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
    put("<title>Customer analytics, " html(parameter("as_of")) "</title>")
    style()
    put("</head>")
    put("<body>")
    put("<header><h1>Customer analytics</h1><p>Orders of " span() " to " html(parameter("as_of")) \
        ", in US dollars, cancelled orders left out.</p></header>")
    put("<main>")
    tiles()
    section("What to look at", "wide")
    notes()
    end_section()
    section("Net revenue by month", "wide")
    revenue_chart()
    end_section()
    section("Segments by net revenue", "")
    segment_chart()
    end_section()
    section("Categories by net revenue", "")
    category_chart()
    end_section()
    section("Best sellers", "wide")
    product_table()
    end_section()
    section("Who came back", "wide")
    cohort_table()
    end_section()
    section("Countries", "")
    country_table()
    end_section()
    section("What the exports were like", "")
    quality_table()
    end_section()
    put("</main>")
    put("</body>")
    put("</html>")
}

function style() {
    put("<style>")
    put(":root{--paper:#f6f5f2;--card:#fff;--ink:#23272b;--soft:#6a7178;--line:#e3e1dc;--main:#2f6f6d;--light:#b9d6d2;--warn:#c4653a;--heat:47,111,109}")
    put("@media(prefers-color-scheme:dark){:root{--paper:#16191b;--card:#1f2325;--ink:#e6e4df;--soft:#9aa1a6;--line:#33393c;--main:#63b3ae;--light:#33524f;--warn:#e08a60;--heat:99,179,174}}")
    put("*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}")
    put("header,main{max-width:1080px;margin:0 auto;padding:0 24px}header{padding-top:36px}h1{margin:0;font-size:28px;letter-spacing:-.01em}header p{margin:4px 0 20px;color:var(--soft)}")
    put("main{display:grid;grid-template-columns:1fr 1fr;gap:20px;padding-bottom:48px}section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;min-width:0;overflow-x:auto}.wide{grid-column:1/-1}h2{margin:0 0 12px;font-size:16px}")
    put(".tiles{grid-column:1/-1;display:grid;grid-template-columns:repeat(4,1fr);gap:20px}.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 20px}.tile b{display:block;font-size:26px;letter-spacing:-.01em;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}")
    put("table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}th{text-align:right;font-weight:500;color:var(--soft);font-size:12.5px}td{text-align:right}th,td{padding:6px 8px;border-bottom:1px solid var(--line);white-space:nowrap}tr:last-child td{border-bottom:0}th:first-child,td:first-child,.left{text-align:left}th:first-child,td:first-child{padding-left:0}")
    put(".notes{display:grid;grid-template-columns:1fr 1fr;gap:14px 32px;margin:0;padding:0;list-style:none}.notes li{border-left:3px solid var(--light);padding-left:12px}.notes li.high{border-color:var(--warn)}.notes b{display:block}.notes small{color:var(--soft);font-size:12.5px}.notes span{color:var(--soft)}")
    put("svg{display:block;width:100%;height:auto}svg text{fill:var(--ink);font-size:12px;font-family:inherit}svg .soft{fill:var(--soft)}svg .main{fill:var(--main)}svg .light{fill:var(--light)}svg .line{stroke:var(--line)}.heat td{padding:4px 6px;text-align:center;border:2px solid var(--card);border-radius:6px}.heat th{border:0;text-align:center}.heat th:first-child,.heat td:first-child{text-align:left}")
    put(".key{margin:8px 0 0;color:var(--soft);font-size:12.5px}.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}.key i:first-child{margin-left:0}")
    put("@media(max-width:760px){main,.notes{grid-template-columns:1fr}.tiles{grid-template-columns:1fr 1fr}section{grid-column:1/-1}}")
    put("@media print{body{background:#fff}section,.tile{break-inside:avoid}}")
    put("</style>")
}

function section(title, class) {
    put("<section" (class == "" ? "" : " class=\"" class "\"") "><h2>" title "</h2>")
}

function end_section() {
    put("</section>")
}

function tiles() {
    put("<div class=\"tiles\">")
    tile(dollars(figure["net_cents"]), "net revenue, after " dollars(figure["refund_cents"]) " of refunds")
    tile(thousands(figure["orders"]), "orders, and " figure["cancelled"] " cancelled")
    tile("$" from_cents(figure["average_order_cents"]), "net for an average order")
    tile(percent(figure["repeat_buyers"], figure["buyers"]) " %", "of " figure["buyers"] " buyers came back")
    put("</div>")
}

function tile(number, label) {
    put("<div class=\"tile\"><b>" number "</b><span>" label "</span></div>")
}

function notes(    i) {
    put("<ul class=\"notes\">")
    for (i = 1; i <= insights; i++) {
        put("<li" (insight_weight[i] >= 3 ? " class=\"high\"" : "") "><b>" html(insight_title[i]) "</b><span>" \
            html(insight_text[i]) "</span> <small>For " html(insight_team[i]) ".</small></li>")
    }
    put("</ul>")
}

# Bars of net revenue with the refunds on top, over a scale of round steps.
function revenue_chart(    i, top, step, left, width, height, slot, x, net, y, back) {
    for (i = 1; i <= months; i++) if (month_gross[i] > top) top = month_gross[i]
    step = round_step(top / 5)
    top = step * (int((top - 1) / step) + 1)
    left = 56
    width = 1000
    height = 240
    put("<svg viewBox=\"0 0 " width " " height + 34 "\" role=\"img\" aria-label=\"Net revenue and refunds by month\">")
    for (y = 0; y <= top; y += step) {
        x = rounded(height - y * (height - 12) / top)
        put("<line class=\"line\" x1=\"" left "\" x2=\"" width "\" y1=\"" x "\" y2=\"" x "\"/>")
        put("<text class=\"soft\" x=\"" left - 8 "\" y=\"" x + 4 "\" text-anchor=\"end\">$" thousands(y / 100) "</text>")
    }
    slot = months ? (width - left) / months : 0
    for (i = 1; i <= months; i++) {
        x = rounded(left + (i - 1) * slot + slot * 0.18)
        net = rounded((month_gross[i] - month_refunds[i]) * (height - 12) / top)
        back = rounded(month_gross[i] * (height - 12) / top) - net
        put("<g><title>" month[i] ": " dollars(month_gross[i] - month_refunds[i]) " net, " dollars(month_refunds[i]) \
            " refunded, " month_orders[i] " orders</title>")
        put("<rect class=\"main\" x=\"" x "\" y=\"" height - net "\" width=\"" rounded(slot * 0.64) "\" height=\"" net "\"/>")
        put("<rect class=\"light\" x=\"" x "\" y=\"" height - net - back "\" width=\"" rounded(slot * 0.64) "\" height=\"" back "\"/>")
        put("<text class=\"soft\" x=\"" rounded(x + slot * 0.32) "\" y=\"" height + 18 "\" text-anchor=\"middle\">" month[i] "</text></g>")
    }
    put("</svg>")
    put("<p class=\"key\"><i style=\"background:var(--main)\"></i>net revenue<i style=\"background:var(--light)\"></i>refunded</p>")
}

# Returns the smallest of 1, 2, 5 times a power of ten that is at least so many cents; a dollar at the least.
function round_step(amount,    step) {
    for (step = 100; ; step *= 10) {
        if (step >= amount) return step
        if (step * 2 >= amount) return step * 2
        if (step * 5 >= amount) return step * 5
    }
}

function segment_chart(    i) {
    split("", bar_value)
    for (i = 1; i <= segments; i++) {
        bar_name[i] = segment[i]
        bar_value[i] = segment_net[i]
        bar_note[i] = segment_buyers[i] " buyers"
    }
    bars(segments)
    put("<p class=\"key\">By recency, frequency and money, each in fifths of all buyers.</p>")
}

function category_chart(    i) {
    split("", bar_value)
    for (i = 1; i <= categories; i++) {
        bar_name[i] = category[i]
        bar_value[i] = category_net[i]
        bar_note[i] = percent(category_margin[i], category_net[i]) " % margin"
    }
    bars(categories)
}

# Draws one bar for each of bar_name, bar_value, bar_note.
function bars(count,    i, top, width) {
    for (i = 1; i <= count; i++) if (bar_value[i] > top) top = bar_value[i]
    put("<svg viewBox=\"0 0 480 " count * 30 "\" role=\"img\">")
    for (i = 1; i <= count; i++) {
        width = top > 0 && bar_value[i] > 0 ? rounded(bar_value[i] * 190 / top) : 0
        put("<text x=\"0\" y=\"" i * 30 - 10 "\">" html(bar_name[i]) "</text>")
        put("<rect class=\"main\" x=\"88\" y=\"" i * 30 - 24 "\" width=\"" width "\" height=\"20\" rx=\"3\"/>")
        put("<text x=\"" 96 + width "\" y=\"" i * 30 - 10 "\">" dollars(bar_value[i]) \
            "<tspan class=\"soft\" dx=\"8\">" html(bar_note[i]) "</tspan></text>")
    }
    put("</svg>")
}

function product_table(    i) {
    put("<table><tr><th>Product</th><th class=\"left\">Category</th><th>Units</th><th>Net revenue</th><th>Margin</th><th>Returned</th><th>In stock</th></tr>")
    for (i = 1; i <= products; i++) {
        put("<tr><td>" html(product[i]) "</td><td class=\"left\">" html(product_category[i]) "</td><td>" product_units[i] "</td><td>" \
            dollars(product_net[i]) "</td><td>" percent(product_margin[i], product_net[i]) " %</td><td>" \
            percent(product_returns[i], product_orders[i]) " %</td><td>" product_stock[i] "</td></tr>")
    }
    put("</table>")
}

# Each row is a month's new buyers, each column how many of them ordered that many months later.
function cohort_table(    i, j, row, share, size) {
    row = "<table class=\"heat\"><tr><th>First order</th><th>Buyers</th>"
    for (j = 1; j < cohorts; j++) row = row "<th>+" j "</th>"
    put(row "</tr>")
    for (i = 1; i <= cohorts; i++) {
        size = cohort_buyers[i, 0]
        row = "<tr><td>" cohort[i] "</td><td>" size "</td>"
        for (j = 1; j <= cohorts - i; j++) {
            share = size ? rounded(cohort_buyers[i, j] * 100 / size) : 0
            row = row "<td style=\"background:rgba(var(--heat),." sprintf("%02d", share > 80 ? 90 : 4 + share) ")\">" share " %</td>"
        }
        put(row "</tr>")
    }
    put("</table>")
    put("<p class=\"key\">The first row holds everybody who was a customer before.</p>")
}

function country_table(    i) {
    put("<table><tr><th>Country</th><th>Buyers</th><th>Net revenue</th><th>Share</th></tr>")
    for (i = 1; i <= countries; i++) {
        put("<tr><td>" html(country[i]) "</td><td>" country_buyers[i] "</td><td>" dollars(country_net[i]) "</td><td>" \
            percent(country_net[i], figure["net_cents"]) " %</td></tr>")
    }
    put("</table>")
}

function quality_table() {
    put("<table><tr><th>Export</th><th>Rows</th><th>Used</th><th>Repeated</th><th>Refused</th></tr>")
    quality("Orders", "orders")
    quality("Customers", "customers")
    quality("Products", "products")
    put("</table>")
    put("<p class=\"key\">Each refused row is kept with its reason, in orders_refused.csv and its like beside this file.</p>")
}

function quality(title, name) {
    put("<tr><td>" title "</td><td>" thousands(parameter(name "_rows")) "</td><td>" thousands(parameter(name "_kept")) "</td><td>" \
        parameter(name "_repeated") "</td><td>" parameter(name "_refused") "</td></tr>")
}

# ---- the same as text

function summary(    i) {
    print "Customer analytics, " span() " to " parameter("as_of") > text
    print "" > text
    fact("Net revenue", dollars(figure["net_cents"]))
    fact("Refunds", dollars(figure["refund_cents"]))
    fact("Orders", thousands(figure["orders"]))
    fact("Average order", "$" from_cents(figure["average_order_cents"]))
    fact("Buyers", figure["buyers"] " (" percent(figure["repeat_buyers"], figure["buyers"]) " % came back)")
    print "" > text
    for (i = 1; i <= segments; i++) fact(segment[i], sprintf("%9s  %4d buyers", dollars(segment_net[i]), segment_buyers[i]))
    print "" > text
    for (i = 1; i <= insights; i++) print (insight_weight[i] >= 3 ? "! " : "- ") insight_title[i] ". " insight_text[i] > text
}

function fact(name, value) {
    print sprintf("%-16s", name) value > text
}
