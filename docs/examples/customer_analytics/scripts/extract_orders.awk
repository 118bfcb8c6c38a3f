# Reads the shop's export of orders, keeps every order once, in one form and one currency, and says what it refused.

BEGIN {
    source = parameter("source")
    rate["USD"] = 1
    rate["EUR"] = parameter("usd_per_eur") + 0
    rate["GBP"] = parameter("usd_per_gbp") + 0
    known["completed"] = known["returned"] = known["refunded"] = known["cancelled"] = 1

    target = main_place()
    refused_file = place("orders_refused.csv")
    print "order_id,customer_id,sku,ordered_on,quantity,gross_cents,refund_cents,status" > target
    print "row,reason,text" > refused_file

    columns = open(source, "order_id,customer_id,sku,ordered_on,quantity,unit_price,discount_percent,currency,status,refund")
    while ((count = next_row(source)) > 0) {
        rows++
        reason = ""
        if (count != columns) reason = "columns"
        else if (trim(row[1]) in seen) { repeated++; continue }
        else reason = examine()
        if (reason != "") {
            refused++
            print row_number[source] "," reason "," quoted(row_line) > refused_file
            continue
        }
        seen[id] = 1
        kept++
        total += gross - back
        print id "," customer "," sku "," on "," quantity "," gross "," back "," status > target
    }
    close(target)
    close(refused_file)

    say("rows", rows)
    say("kept", kept)
    say("repeated", repeated)
    say("refused", refused)
    say("net_usd", from_cents(total))
    say_path("refused_path", "orders_refused.csv")
    exit
}

# Takes the row apart; returns what is wrong with it, or nothing.
function examine(    price, refund, money, off) {
    id = trim(row[1])
    customer = trim(row[2])
    sku = toupper(trim(row[3]))
    on = iso_date(trim(row[4]))
    quantity = trim(row[5])
    price = to_cents(trim(row[6]))
    off = trim(row[7])
    money = toupper(trim(row[8]))
    status = tolower(trim(row[9]))
    refund = trim(row[10]) == "" ? 0 : to_cents(trim(row[10]))
    if (id == "" || customer == "" || sku == "") return "identity"
    if (on == "") return "date"
    if (quantity !~ /^[1-9][0-9]*$/) return "quantity"
    if (price == "" || refund == "") return "price"
    if (off !~ /^[0-9]+$/ || off + 0 > 100) return "discount"
    if (!(money in rate)) return "currency"
    if (!(status in known)) return "status"
    # A cancelled order was never paid.
    gross = status == "cancelled" ? 0 : int(price * quantity * (100 - off) / 100)
    if (refund > gross) return "refund"
    gross = rounded(gross * rate[money])
    back = rounded(refund * rate[money])
    return ""
}
