# Reads the warehouse's export of products.
#
# The warehouse locks its export while it writes it, and the first look of the day finds it locked. With `flaky` the
# step plays that out: its first attempt ends with 75 (EX_TEMPFAIL, try again later), and the retry finds the file.

BEGIN {
    source = parameter("source")
    if (parameter("flaky") == "true" && parameter("attempt") == 1) {
        fail(75, "the warehouse export is locked while it is written")
    }

    target = main_place()
    refused_file = place("products_refused.csv")
    print "sku,name,category,list_price_cents,unit_cost_cents,stock" > target
    print "row,reason,text" > refused_file

    columns = open(source, "sku,name,category,list_price,unit_cost,stock")
    while ((count = next_row(source)) > 0) {
        rows++
        reason = ""
        sku = toupper(trim(row[1]))
        if (count != columns) reason = "columns"
        else if (sku in seen) { repeated++; continue }
        else if (to_cents(trim(row[4])) == "" || to_cents(trim(row[5])) == "") reason = "price"
        else if (trim(row[6]) !~ /^[0-9]+$/) reason = "stock"
        if (reason != "") {
            refused++
            print row_number[source] "," reason "," quoted(row_line) > refused_file
            continue
        }
        category = trim(row[3])
        if (category == "") { category = "Other"; uncategorised++ }
        category = toupper(substr(category, 1, 1)) tolower(substr(category, 2))
        seen[sku] = 1
        kept++
        print sku "," quoted(trim(row[2])) "," category "," to_cents(trim(row[4])) "," to_cents(trim(row[5])) "," trim(row[6]) > target
    }
    close(target)
    close(refused_file)

    say("rows", rows)
    say("kept", kept)
    say("repeated", repeated)
    say("refused", refused)
    say("without_category", uncategorised)
    say_path("refused_path", "products_refused.csv")
    exit
}
