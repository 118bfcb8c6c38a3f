# Says what the figures mean: the year in numbers, and what somebody should look at, with who that is.

BEGIN {
    target = main_place()
    print "team,weight,title,text" > target
    read_months(parameter("months"))
    read_segments(parameter("segments"))
    read_customers(parameter("customers"))
    read_products(parameter("products"))

    growth()
    best_month()
    concentration()
    at_risk()
    returns()
    stock()
    margins()
    close(target)
    write_figures()

    say("insights", insights)
    say("net_usd", from_cents(net))
    say("orders", orders)
    say("stock_alerts", alerts)
    say_path("figures", "figures.csv")
    exit
}

function insight(team, weight, title, text) {
    insights++
    print team "," weight "," quoted(title) "," quoted(text) > target
}

# ---- what there is

function read_months(file) {
    open(file, "month,orders,cancelled,gross_cents,refund_cents")
    while (next_row(file) > 0) {
        month[++months] = row[1]
        month_net[months] = row[4] - row[5]
        orders += row[2]
        cancelled += row[3]
        gross += row[4]
        refunds += row[5]
    }
    net = gross - refunds
}

function read_segments(file) {
    open(file, "segment,buyers,orders,net_cents,reachable")
    while (next_row(file) > 0) {
        segment_buyers[row[1]] = row[2]
        segment_net[row[1]] = row[4]
        segment_reachable[row[1]] = row[5]
    }
}

# The rows come with the best customer first.
function read_customers(file,    i) {
    open(file, "customer_id,name,email,country,channel,orders,net_cents,days_since_last,recency,frequency,money,segment")
    while (next_row(file) > 0) {
        customer_net[++buyers] = row[7]
        all_net += row[7]
        if (row[6] > 1) repeaters++
    }
    for (i = 1; i <= int(buyers / 5); i++) top_net += customer_net[i]
}

# The rows come with the best product first.
function read_products(file) {
    open(file, "sku,name,category,orders,units,net_cents,margin_cents,returns,stock,stock_days")
    while (next_row(file) > 0) {
        product[++products] = row[1]
        product_name[row[1]] = row[2]
        product_orders[row[1]] = row[4] + 0
        product_net[row[1]] = row[6] + 0
        product_margin[row[1]] = row[7] + 0
        product_returns[row[1]] = row[8] + 0
        if (row[9] + 0 <= 20 && row[10] != "" && row[10] + 0 < 30) {
            scarce[++alerts] = row[1]
            lasts[row[1]] = row[10] + 0
        }
    }
}

# ---- what it means

function growth(    i, now, before_that, change) {
    if (months < 6) return
    for (i = 0; i < 3; i++) {
        now += month_net[months - i]
        before_that += month_net[months - 3 - i]
    }
    change = now - before_that
    insight("leadership", 3, "Revenue " (change < 0 ? "fell" : "grew") " by " percent(change < 0 ? -change : change, before_that) \
        " % in the last quarter", "Net revenue was " dollars(now) " in the last three months and " dollars(before_that) \
        " in the three before them.")
}

function best_month(    i, best) {
    if (months < 2) return
    best = 1
    for (i = 2; i <= months; i++) if (month_net[i] > month_net[best]) best = i
    insight("leadership", 1, month[best] " was the best month", "It brought " dollars(month_net[best]) " net, " \
        percent(month_net[best] * months - net, net) " % more than an average month.")
}

function concentration() {
    if (buyers < 5) return
    insight("leadership", 2, "A fifth of the customers bring " percent(top_net, all_net) " % of the revenue", \
        int(buyers / 5) " of " buyers " buyers; " percent(repeaters, buyers) " % of all buyers came back at least once.")
}

function at_risk() {
    if (!segment_buyers["At risk"]) return
    insight("growth", 3, segment_buyers["At risk"] " good customers have gone quiet", "They have brought " \
        dollars(segment_net["At risk"]) " so far. " segment_reachable["At risk"] \
        " of them have an address that works; a win-back offer can reach these.")
    insight("growth", 1, segment_buyers["New"] + 0 " customers are new", "A second order within two months decides whether they stay.")
}

function returns(    i, sku, rate, keys, count) {
    for (i = 1; i <= products; i++) {
        sku = product[i]
        if (product_orders[sku] < 12) continue
        rate[sku] = product_returns[sku] / product_orders[sku]
        if (rate[sku] >= 0.15) keys[++count] = sku
    }
    if (!count) return
    sort_by(keys, count, rate)
    sku = keys[1]
    insight("merchandising", 3, product_name[sku] " comes back too often", percent(product_returns[sku], product_orders[sku]) \
        " % of its " product_orders[sku] " orders were returned; over all products it is " percent(all_returns(), orders) " %. " \
        (count > 1 ? count - 1 " more " (count > 2 ? "products are" : "product is") " over 15 %." : ""))
}

function all_returns(    i, sum) {
    for (i = 1; i <= products; i++) sum += product_returns[product[i]]
    return sum
}

function stock(    i, sku, names) {
    if (!alerts) return
    sort_by(scarce, alerts, product_net)
    for (i = 1; i <= alerts && i <= 4; i++) names = names (i > 1 ? "; " : "") product_name[scarce[i]] " (" lasts[scarce[i]] " days)"
    insight("operations", 3, alerts " products run out within a month", "At the pace of the last 90 days: " names \
        (alerts > 4 ? "; and " alerts - 4 " more." : "."))
}

function margins(    i, sku, worst) {
    for (i = 1; i <= products && i <= 20; i++) {
        sku = product[i]
        if (product_net[sku] <= 0) break
        if (worst == "" || product_margin[sku] / product_net[sku] < product_margin[worst] / product_net[worst]) worst = sku
    }
    if (worst == "") return
    insight("merchandising", 1, product_name[worst] " earns the least of the best sellers", "Its margin is " \
        percent(product_margin[worst], product_net[worst]) " % of its revenue of " dollars(product_net[worst]) ".")
}

function write_figures(    file) {
    file = place("figures.csv")
    print "figure,value" > file
    print "net_cents," net + 0 > file
    print "gross_cents," gross + 0 > file
    print "refund_cents," refunds + 0 > file
    print "orders," orders + 0 > file
    print "cancelled," cancelled + 0 > file
    print "buyers," buyers + 0 > file
    print "repeat_buyers," repeaters + 0 > file
    print "average_order_cents," (orders ? rounded(net / orders) : 0) > file
    close(file)
}
