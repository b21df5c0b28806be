-- LOCK TABLE asks for a right to change the table; who may call this needs none.
CREATE FUNCTION ro_ledger.take_turn() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    LOCK TABLE ro_ledger.ledger_schema IN EXCLUSIVE MODE;
END $$;
REVOKE EXECUTE ON FUNCTION ro_ledger.take_turn() FROM PUBLIC;
INSERT INTO ro_ledger.ledger_schema (version) VALUES (2);
