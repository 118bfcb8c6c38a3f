# Joins orders and products: what each product earned, what came back, how long the stock lasts, month by month.

BEGIN {
    as_of = parameter("as_of")
    if (iso_date(as_of) != as_of) fail(65, "`as_of` is `" as_of "`, but it must be a day such as 2026-10-31")
    read_products(parameter("products"))
    read_orders(parameter("orders"))
    write_products()
    write_categories()
    write_months()

    say("products", products)
    say("sold_products", sold)
    say("unknown_product_orders", strangers)
    say_path("categories", "categories.csv")
    say_path("months", "months.csv")
    exit
}

function read_products(file) {
    open(file, "sku,name,category,list_price_cents,unit_cost_cents,stock")
    while (next_row(file) > 0) {
        product[++products] = row[1]
        name[row[1]] = row[2]
        category[row[1]] = row[3]
        cost[row[1]] = row[5]
        stock[row[1]] = row[6]
    }
}

function read_orders(file,    sku, month, quarter_ago) {
    quarter_ago = day_number(as_of) - 90
    open(file, "order_id,customer_id,sku,ordered_on,quantity,gross_cents,refund_cents,status")
    while (next_row(file) > 0) {
        if (row[4] > as_of) continue
        month = month_number(row[4])
        if (first == "" || month < first) first = month
        if (row[8] == "cancelled") { cancelled[month]++; continue }
        placed[month]++
        gross[month] += row[6]
        refunds[month] += row[7]
        sku = row[3]
        if (!(sku in name)) { strangers++; continue }
        if (!(sku in units)) sold++
        units[sku] += row[5]
        count[sku]++
        net[sku] += row[6] - row[7]
        # Goods that came back are on the shelf again.
        if (row[8] == "returned") returns[sku]++
        else spent[sku] += cost[sku] * row[5]
        if (day_number(row[4]) > quarter_ago && row[8] != "returned") recent[sku] += row[5]
    }
}

function write_products(    file, keys, i, sku, lasts) {
    file = main_place()
    print "sku,name,category,orders,units,net_cents,margin_cents,returns,stock,stock_days" > file
    for (i = 1; i <= products; i++) keys[i] = product[i]
    sort_by(keys, products, net)
    for (i = 1; i <= products; i++) {
        sku = keys[i]
        # At the pace of the last 90 days; nothing where nothing was sold.
        lasts = recent[sku] ? int(stock[sku] * 90 / recent[sku]) : ""
        print sku "," quoted(name[sku]) "," category[sku] "," count[sku] + 0 "," units[sku] + 0 "," net[sku] + 0 "," \
            net[sku] - spent[sku] "," returns[sku] + 0 "," stock[sku] "," lasts > file
    }
    close(file)
}

function write_categories(    file, i, sku, group, groups, keys, sum, margin, number, back) {
    for (i = 1; i <= products; i++) {
        sku = product[i]
        group = category[sku]
        if (!(group in sum)) keys[++groups] = group
        sum[group] += net[sku]
        margin[group] += net[sku] - spent[sku]
        number[group] += count[sku]
        back[group] += returns[sku]
    }
    sort_by(keys, groups, sum)
    file = place("categories.csv")
    print "category,orders,net_cents,margin_cents,returns" > file
    for (i = 1; i <= groups; i++) {
        group = keys[i]
        print group "," number[group] + 0 "," sum[group] + 0 "," margin[group] + 0 "," back[group] + 0 > file
    }
    close(file)
}

function write_months(    file, month) {
    file = place("months.csv")
    print "month,orders,cancelled,gross_cents,refund_cents" > file
    if (first != "") for (month = first; month <= month_number(as_of); month++) {
        print month_name(month) "," placed[month] + 0 "," cancelled[month] + 0 "," gross[month] + 0 "," refunds[month] + 0 > file
    }
    close(file)
}
